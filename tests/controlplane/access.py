"""Who may talk to a control plane, and how: tokens, kubeconfig files, the API server's certificate.

kube-apiserver makes its own certificate in its --cert-dir, and its key doubles as the one that signs service account
tokens, so nothing here needs openssl or a cryptography package. Users are named in a token file; what each may do is
decided by RBAC alone, as in a real cluster.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import secrets
from pathlib import Path
from typing import Final

USERS: Final = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kwok": ("kwok", ""),
    "provisioner": ("csi-provisioner", ""),
    "nobody": ("nobody", ""),
}
"""Key: what this tool calls it. Value: user and group that the API server sees; `nobody` has no rights at all."""


class Access:
    """The tokens of one control plane, made anew for each."""

    def __init__(self, directory: Path) -> None:
        self.certificates = directory / "certificates"
        self.token_file = directory / "tokens.csv"
        self._directory = directory
        self._tokens = {key: secrets.token_urlsafe(24) for key in USERS}
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for key, (user, group) in USERS.items():
            rows.writerow([self._tokens[key], user, key, *([group] if group else [])])
        _write_private(self.token_file, text.getvalue())

    @property
    def certificate(self) -> Path:
        """The API server's certificate, which is its own authority; there once it has started."""
        return self.certificates / "apiserver.crt"

    @property
    def signing_key(self) -> Path:
        """Signs service account tokens."""
        return self.certificates / "apiserver.key"

    def token(self, user: str) -> str:
        """Bearer token of one of `USERS`."""
        return self._tokens[user]

    def write_kubeconfig(self, name: str, *, server: str, token: str) -> Path:
        """Write `<name>.kubeconfig` into the directory, readable by its owner only."""
        authority = base64.b64encode(self.certificate.read_bytes()).decode()
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": name}}],
            "current-context": "local",
        }  # fmt: skip
        path = self._directory / f"{name}.kubeconfig"
        _write_private(path, json.dumps(content, indent=1))
        return path


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
