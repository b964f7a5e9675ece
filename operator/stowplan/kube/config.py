"""Where the API server is and how to prove who we are.

``load`` is called once at start by the command line and by the application; the result goes into
``session.Api``. A pod's service account is read here directly. Kubeconfig files, with their contexts, merging, exec
plugins and OIDC, are ``kubernetes_asyncio.config``'s work; that package imports every model of the API (measured:
0.25 s and 37 MiB more than aiohttp and msgspec alone), so it is imported only when a kubeconfig is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
import yaml

from stowplan.errors import UsageError
from stowplan.kube import kubeconfig as kubeconfigs

log = structlog.get_logger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_PERIOD = 60.0
"""Seconds after which a token file is read again; kubelet replaces a projected token long before it expires."""
REFUSED_PERIOD = 5.0
"""Seconds in which a refused credential is asked for anew at most once."""


class Credentials(Protocol):
    """What goes into the Authorization header."""

    def header(self) -> str | None:
        """The header's value now; None when a client certificate (or nothing) is the proof."""

    async def refused(self) -> bool:
        """The API server answered 401: get a fresh one. True when it is worth another try."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """An API server and how to talk to it."""

    server: str
    """Base URL without a slash at its end."""
    tls: ssl.SSLContext | None
    credentials: Credentials
    server_name: str | None = None
    """Name to verify in the certificate, where it is not the host of ``server``."""
    proxy: str | None = None


@dataclass(kw_only=True)
class Anonymous:
    """No token: a client certificate, or nothing at all."""

    def header(self) -> None:
        """No header."""

    async def refused(self) -> bool:
        """There is nothing fresher to offer."""
        return False


@dataclass(kw_only=True)
class TokenFile:
    """A bearer token in a file that somebody else keeps fresh (a projected service account token)."""

    path: Path
    clock: Callable[[], float] = time.monotonic
    _value: str = field(init=False, default="")
    _read_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._read()

    def header(self) -> str:
        """The token, read again once a minute."""
        if self.clock() - self._read_at >= TOKEN_PERIOD:
            self._read()
        return self._value

    async def refused(self) -> bool:
        """Read the file at once; worth a try when it holds another token now."""
        before = self._value
        self._read()
        return self._value != before

    def _read(self) -> None:
        self._read_at = self.clock()
        try:
            token = self.path.read_text().strip()
        except OSError as error:
            if self._value:  # keep the last good one: the file may be in the middle of being replaced
                return
            raise UsageError(f"cannot read the service account token {self.path}: {error.strerror}") from error
        if token:
            self._value = f"Bearer {token}"


@dataclass(kw_only=True)
class Kubeconfig:
    """A credential that kubernetes_asyncio got from a kubeconfig: static, from an exec plugin, or by OIDC."""

    path: str
    context: str | None
    value: str | None
    clock: Callable[[], float] = time.monotonic
    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _asked_at: float = field(init=False, default=float("-inf"))

    def header(self) -> str | None:
        """The credential as last loaded."""
        return self.value

    async def refused(self) -> bool:
        """Load the kubeconfig again, which runs its plugin; many refused requests share one load."""
        before = self.value
        async with self._lock:
            if self.value == before and self.clock() - self._asked_at >= REFUSED_PERIOD:
                self._asked_at = self.clock()
                try:
                    self.value = (await _load(self.path, self.context)).authorization
                except UsageError as error:
                    log.warning("credentials not renewed", error=str(error))
        return self.value != before


async def load(*, kubeconfig: str | None = None, context: str | None = None) -> Cluster:
    """Find the API server the way kubectl does.

    Args:
        kubeconfig: path of a file; by default ``$KUBECONFIG``, then ``~/.kube/config``, then the pod's account.
        context: name of a context in the kubeconfig; by default its current one.

    Raises:
        UsageError: there is no configuration, or it cannot be used.
    """
    named = kubeconfig or os.environ.get("KUBECONFIG")
    if named is None and context is None and _in_cluster():
        address = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        return service_account(SERVICE_ACCOUNT, host=address[0], port=address[1])
    path = named or str(Path.home() / ".kube" / "config")
    existing = _files(path)
    if not existing:
        raise UsageError(f"no kubeconfig at {path}: give --kubeconfig, or set KUBECONFIG")
    return await _from_kubeconfig(os.pathsep.join(existing), context)


def service_account(folder: Path, *, host: str, port: str) -> Cluster:
    """The API server as seen from inside a pod: ``token`` and ``ca.crt`` in ``folder``.

    Raises:
        UsageError: a file is missing or unusable.
    """
    authority = folder / "ca.crt"
    try:
        tls = ssl.create_default_context(cafile=str(authority))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot use the cluster's certificate authority {authority}: {error}") from error
    return Cluster(
        server=f"https://{_bracketed(host)}:{port}",
        tls=tls,
        credentials=TokenFile(path=folder / "token"),
    )


def _in_cluster() -> bool:
    environment = os.environ
    return (
        bool(environment.get("KUBERNETES_SERVICE_HOST") and environment.get("KUBERNETES_SERVICE_PORT"))
        and (SERVICE_ACCOUNT / "token").is_file()
    )


def _files(path: str) -> list[str]:
    return [part for part in path.split(os.pathsep) if part and Path(part).expanduser().is_file()]


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host


async def _from_kubeconfig(path: str, context: str | None) -> Cluster:
    loaded = await _load(path, context)
    token_file = loaded.token_file
    credentials: Credentials
    if token_file is not None:
        credentials = TokenFile(path=token_file)
    elif loaded.authorization is None:
        credentials = Anonymous()
    else:
        credentials = Kubeconfig(path=path, context=context, value=loaded.authorization)
    return Cluster(
        server=loaded.server,
        tls=loaded.tls,
        credentials=credentials,
        server_name=loaded.server_name,
        proxy=loaded.proxy,
    )


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    server: str
    tls: ssl.SSLContext | None
    authorization: str | None
    token_file: Path | None
    server_name: str | None
    proxy: str | None


async def _load(path: str, context: str | None) -> _Loaded:
    from kubernetes_asyncio import client, config  # noqa: PLC0415 -- heavy: see the module's docstring

    logging.getLogger("kubernetes_asyncio.config.kube_config").setLevel(logging.CRITICAL)  # it logs what it raises
    settings = client.Configuration()
    settings.host = ""
    try:
        loader = await config.load_kube_config(config_file=path, context=context, client_configuration=settings)
        tls = _tls(settings.ssl_ca_cert, settings.cert_file, settings.key_file, verify=settings.verify_ssl)
    except (
        config.ConfigException,
        yaml.YAMLError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        AssertionError,
    ) as error:
        # The library raises the last five on files that are not shaped like a kubeconfig at all.
        raise UsageError(f"kubeconfig {path} cannot be used: {_problem(path, context, error)}") from error
    if not settings.host:
        raise UsageError(f"kubeconfig {path} cannot be used: the cluster has no server")
    user = loader._user  # the loader reads a tokenFile once and offers no other way to learn its path
    named = user.safe_get("tokenFile") if user is not None and not user.safe_get("token") else None
    return _Loaded(
        server=settings.host.rstrip("/"),
        tls=tls if settings.host.startswith("https") else None,
        authorization=settings.api_key.get("BearerToken"),
        token_file=Path(user.path or ".").parent / named if user is not None and named else None,
        server_name=settings.tls_server_name or None,
        proxy=settings.proxy or None,
    )


def _problem(path: str, context: str | None, error: Exception) -> str:
    """Why a kubeconfig could not be loaded, in one line."""
    said = " ".join(str(error).split())
    try:
        fault = kubeconfigs.fault(path, context)
    except (OSError, ValueError, yaml.YAMLError):
        return said
    if not fault and isinstance(error, FileNotFoundError) and error.filename:
        return f"its user gets credentials from {error.filename}, which cannot be found"
    return fault or said


def _tls(authority: str | None, certificate: str | None, key: str | None, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
