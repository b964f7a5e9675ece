"""`make demo`: a stateful cluster is placed over failure domains, on a real control plane, before your eyes.

Without a cluster it starts one on this machine, with fake nodes. With KUBECONFIG or --context it asks whether to use
that one. Whatever happens, what it has started ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.controlplane.errors import ControlPlaneError
from tests.demo import given, local, story
from tests.demo.errors import DemoError, Refused
from tests.demo.screen import Screen
from tests.demo.stage import NAMESPACE, Stage
from tests.process import Replica


def main(arguments: list[str]) -> int:
    """Run the demo.

    Returns:
        0: all is ready and where it belongs; 1: it is not; 2: usage, or the user's cluster is not to be used;
        130: interrupted.
    """
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if options.local and (options.context or options.kubeconfig):
            raise Refused("--local is a cluster of its own: it goes with neither --context nor --kubeconfig")
        return _run(options, Screen())
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 2
    except (DemoError, ControlPlaneError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `make demo | head`: nobody reads on, and nothing can be said at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Place a stateful cluster over failure domains and watch.",
        epilog="KUBECONFIG, --kubeconfig or --context choose a cluster of yours; you are asked before it is used.",
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, to try things out")
    parser.add_argument("--local", action="store_true", help="a cluster on this machine, whatever KUBECONFIG says")
    parser.add_argument("--kubeconfig", metavar="FILE", help="use the cluster of this file")
    parser.add_argument("--context", metavar="NAME", help="use the cluster of this context")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS",
                        help="for the members to become ready; default %(default)s")  # fmt: skip
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write what is shown into an image")
    return parser


def _run(options: argparse.Namespace, screen: Screen) -> int:
    with _directory() as directory:
        if not options.local and (options.context or options.kubeconfig or os.environ.get("KUBECONFIG")):
            choice = given.Choice(kubeconfig=options.kubeconfig, context=options.context, yes=options.yes)
            chosen = given.stage(choice, directory, screen)
        else:
            chosen = local.stage(directory, screen)
        with chosen as stage, story.running(stage, directory, screen) as stowplan:
            good = story.play(stage, stowplan, screen, timeout=options.timeout)
            if options.svg:
                screen.save(options.svg)
            if options.keep:
                _keep(stage, stowplan)
    if not good:
        raise DemoError("the members are not where the policy wants them")
    screen.step("done; everything has been stopped and removed")
    return 0


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """A directory for logs and credentials; after an error it stays, without the credentials of anybody's cluster."""
    path = Path(tempfile.mkdtemp(prefix="stowplan-demo-"))
    try:
        yield path
    except (DemoError, ControlPlaneError) as error:
        logs = [each for each in path.rglob("*.log") if each.stat().st_size]
        if isinstance(error, Refused) or not logs:
            shutil.rmtree(path)
            raise
        (path / "kubeconfig").unlink(missing_ok=True)
        print(f"logs: {path}", file=sys.stderr)
        raise
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    shutil.rmtree(path)


def _keep(stage: Stage, stowplan: Replica) -> None:
    """Wait for Ctrl-C, which is how this is meant to end."""
    print(
        f"\nEverything stays until Ctrl-C. In another terminal:\n\n"
        f"  export KUBECONFIG={stage.kubeconfig}\n"
        f"  kubectl get pods -n {NAMESPACE} -o wide\n"
        f"  kubectl edit stc search -n {NAMESPACE}",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(0.5)
            story.check(stowplan)
            stage.check()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
