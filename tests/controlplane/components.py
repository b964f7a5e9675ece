"""The command line of every program of a control plane, with the reason for each flag that is not the default.

Called by `ControlPlane` only. Everything listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.controlplane.access import Access
from tests.controlplane.nodes import MANAGED

ETCD_SOCKET = "etcd.sock:0"
"""Relative, because the path of a socket may be 108 characters at most; etcd wants something like a port in it."""

LEASE_SECONDS = 40
"""A kubelet's default: kwok renews the leases of its nodes four times in that time."""


def etcd(binary: Path) -> list[str]:
    """A single member, which never speaks to a peer.

    Its clients come through a socket in the directory that both it and the API server run in: no port that somebody
    else could take, and none from which another user of the machine could read secrets.
    """
    return [
        str(binary),
        "--data-dir=etcd",
        f"--listen-client-urls=unix://{ETCD_SOCKET}",
        f"--advertise-client-urls=unix://{ETCD_SOCKET}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",  # the data lives as long as the process
        "--log-level=warn",
    ]


def kube_apiserver(binary: Path, *, access: Access, port: int) -> list[str]:
    """RBAC and the default admission plugins, as in a real cluster."""
    return [
        str(binary),
        f"--etcd-servers=unix://{ETCD_SOCKET}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",  # else it looks for a default route, which a sandbox may lack
        "--endpoint-reconciler-type=none",  # and 127.0.0.1 may not be an endpoint of the service `kubernetes`
        f"--secure-port={port}",
        f"--cert-dir={access.certificates}",
        f"--token-auth-file={access.token_file}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={access.signing_key}",
        f"--service-account-key-file={access.signing_key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def kube_controller_manager(binary: Path, *, access: Access, kubeconfig: Path) -> list[str]:
    """All default controllers, each as its own service account."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={access.signing_key}",
        f"--root-ca-file={access.certificate}",
        "--secure-port=0",
        "--kube-api-qps=500",  # 20 by default, which makes the first minute of a cluster of 60 nodes a slow one
        "--kube-api-burst=1000",
        "--node-monitor-period=1s",  # a test waits for what a node's condition brings about
        f"--node-monitor-grace-period={LEASE_SECONDS}s",
        "--pvclaimbinder-sync-period=2s",
        "--concurrent-namespace-syncs=4",
        "--profiling=false",
    ]


def kube_scheduler(binary: Path, *, configuration: Path) -> list[str]:
    """The default scheduler; `scheduler_configuration` has the rest."""
    return [str(binary), f"--config={configuration}", "--secure-port=0", "--profiling=false"]


def scheduler_configuration(kubeconfig: Path) -> str:
    """KubeSchedulerConfiguration without a brake: 50 requests a second is the default and would be all it measures."""
    return f"""\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{leaderElect: false}}
clientConnection: {{kubeconfig: "{kubeconfig}", qps: 5000, burst: 5000}}
"""


def kwok(binary: Path, *, kubeconfig: Path, configuration: Path) -> list[str]:
    """Kubelets of all nodes that carry the label; see `stages`."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--config={configuration}",
        f"--manage-nodes-with-label-selector={MANAGED}",
        f"--node-lease-duration-seconds={LEASE_SECONDS}",
        "--cidr=10.128.0.0/9",
    ]


def provisioner(*, kubeconfig: Path) -> list[str]:
    """The fake CSI driver."""
    return [sys.executable, "-m", "tests.controlplane.provisioner", "--kubeconfig", str(kubeconfig)]
