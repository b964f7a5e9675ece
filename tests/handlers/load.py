"""What a HorizontalPodAutoscaler needs to know: a metrics API (metrics.k8s.io) that says what a test says.

kube-apiserver hands requests for the group on to a server of the test, through a Service of type ExternalName
(ResolveCluster in k8s.io/apiserver/pkg/util/proxy/proxy.go).
"""

from __future__ import annotations

import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.controlplane.api import Api, condition
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices"


class Load:
    """Memory that the pods of a namespace need together; it is shared evenly among those that there are.

    Attributes:
        mebibytes: how much.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.mebibytes = 0

    async def pods(self, request: web.Request) -> web.Response:
        """The PodMetrics of the pods with these labels."""
        namespace = request.match_info["namespace"]
        found = await self._api.list(f"/api/v1/namespaces/{namespace}/pods", **request.query)
        each = f"{self.mebibytes * 1024 // max(len(found), 1)}Ki"
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
        items = [
            {
                "metadata": {"name": pod["metadata"]["name"], "namespace": namespace},
                "timestamp": now,
                "window": "15s",
                "containers": [{"name": "main", "usage": {"cpu": "1m", "memory": each}}],
            }
            for pod in found
        ]
        return web.json_response({"kind": "PodMetricsList", "apiVersion": f"{GROUP}/{VERSION}", "items": items})


async def _resources(request: web.Request) -> web.Response:
    pods: Manifest = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["list"]}
    return web.json_response({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}", "resources": [pods]
    })  # fmt: skip


@contextlib.asynccontextmanager
async def measured(plane: ControlPlane, api: Api) -> AsyncIterator[Load]:
    """While this goes on, the control plane has a metrics API. It goes with it: an API group that does not answer
    keeps namespaces from being deleted.
    """
    load = Load(api)
    application = web.Application()
    base = f"/apis/{GROUP}/{VERSION}"
    application.router.add_get(base, _resources)
    application.router.add_get(f"{base}/namespaces/{{namespace}}/pods", load.pods)
    certificates = plane.directory / "certificates"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
    server = TestServer(application, scheme="https")
    await server.start_server(ssl=context)
    meta = {"name": "metrics", "namespace": "kube-system"}
    name = f"{VERSION}.{GROUP}"
    try:
        await api.create({
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        })  # fmt: skip
        await api.create({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
            "spec": {
                "group": GROUP, "version": VERSION, "insecureSkipTLSVerify": True, "groupPriorityMinimum": 100,
                "versionPriority": 100, "service": {**meta, "port": server.port},
            },
        })  # fmt: skip
        await api.wait(f"{SERVICE}/{name}", lambda it: condition(it, "Available") == "True")
        yield load
    finally:
        await api.delete(f"{SERVICE}/{name}")
        await api.delete("/api/v1/namespaces/kube-system/services/metrics")
        await server.close()
