"""The ``stowplan`` command, also installed as ``kubectl-stowplan``.

Flags are kubectl's. Exit codes: 0 done; 1 the answer is "no" (unschedulable), or the lease was lost; 2 usage, bad input
or missing rights; 3 the API server cannot be reached, or fails. Errors are one line on standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
import msgspec
import yaml

import stowplan
from stowplan import errors
from stowplan.app import judge, logging, settings
from stowplan.simulator.explain import Explanation

PATIENCE: Final = 1.0
"""Seconds after which somebody who waits is told what is being done."""
EXIT_NO: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3

F = TypeVar("F", bound=Callable[..., Any])


def _connection(command: F) -> F:
    """The flags that say which cluster."""
    for option in (
        click.option("--context", help="The kubeconfig context to use."),
        click.option("--kubeconfig", help="Path of the kubeconfig file (default: $KUBECONFIG, ~/.kube/config)."),
    ):
        command = option(command)
    return command


def _input(command: F) -> F:
    """The flags that say which objects, and how to print."""
    for option in (
        click.option("-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table",
                     show_default=True, help="How to print."),
        click.option("-l", "--selector", "labels", metavar="SELECTOR",
                     help="Only pods with these labels: a=b,c!=d,e in (f,g),h,!i."),
        click.option("--config", "config_file", type=click.Path(path_type=Path),
                     help="The configuration file of `stowplan run`, for its weights and plugin arguments."),
        click.option("--scheduler-name",
                     help="Pending pods of this scheduler (default: stowplan; with -f pods of any scheduler)."),
        click.option("-A", "--all-namespaces", is_flag=True,
                     help="Pods of all namespaces (the default), whatever -n says."),
        click.option("-n", "--namespace", help="Only pods of this namespace."),
        click.option("-f", "--filename", "files", multiple=True, metavar="FILE",
                     help="Read the cluster's state from files instead (YAML or JSON, single objects or lists, - for "
                          "standard input; repeatable). No cluster is needed then."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(stowplan.__version__, prog_name="stowplan")
def cli() -> None:
    """Place stateful services over failure domains."""


@cli.command(
    short_help="Run the operator and scheduler.",
    epilog="""\b
Examples:
  stowplan run
  stowplan run --config /etc/stowplan/config.yaml
  stowplan run --kubeconfig ~/.kube/config --no-leader-elect --metrics-address 127.0.0.1:10251
""",
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The configuration file.")
@click.option("--scheduler-name", help="Place the pods with this schedulerName (default: stowplan).")
@click.option("--no-leader-elect", is_flag=True, help="Do not wait for the lease: for a single replica only.")
@click.option("--metrics-address", metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz there.")
@click.option("--qps", type=float, help="Requests per second at most; 0 is unlimited (the default).")
@_connection
def run(config_file: Path | None, **flags: Any) -> None:
    """Run the operator and scheduler until stopped."""
    from stowplan.app import process  # noqa: PLC0415 - kopf and its like take long to import

    loaded = settings.load(
        config_file,
        scheduler_name=flags["scheduler_name"],
        leader_elect=False if flags["no_leader_elect"] else None,
        metrics_address=flags["metrics_address"],
        qps=flags["qps"],
        kubeconfig=flags["kubeconfig"],
    )
    logging.configure(level=loaded.log.level, form=loaded.log.format)
    _run(process.serve(loaded, context=flags["context"]))


@cli.command(
    short_help="Why a pod is where it is, or nowhere.",
    epilog="""\b
Examples:
  stowplan explain orders-data-0 -n prod
  stowplan explain --all-pending -A
  kubectl get nodes,pods -A -o json | stowplan explain --all-pending -f -
  stowplan explain web-1 -f nodes.yaml -f pods.yaml -o json
""",
)
@click.argument("pods", nargs=-1, metavar="[POD...]")
@click.option("--all-pending", is_flag=True, help="Explain every pod that has no node yet.")
@_input
@_connection
def explain(pods: tuple[str, ...], all_pending: bool, **flags: Any) -> None:
    """Why each node is or is not feasible for a pod, and the scores of those that are.

    Each pod is judged alone against the state as it is; a pod that has a node, as if it had none. The exit code is 1
    where a pod fits nowhere.
    """
    if not pods and not all_pending:
        raise errors.UsageError("name the pods to explain, or give --all-pending")
    if pods and all_pending:
        raise errors.UsageError("give the names of pods or --all-pending, not both")
    if pods and flags["labels"] is not None:
        raise errors.UsageError("give the names of pods or a selector, not both")
    with _progress() as told:
        answers = _run(judge.explain(_question(flags, told), names=pods))
    _print(
        flags["output"],
        data={"pods": {one.pod: _explained(one) for one in answers.pods}},
        text=lambda wide: answers.text(wide=wide),
    )
    if any(one.chosen is None for one in answers.pods):
        sys.exit(EXIT_NO)


@cli.command(
    short_help="Where all pending pods would go.",
    epilog="""\b
Examples:
  stowplan plan -n prod
  kubectl get nodes,pods,pvc,pv,sc,schpol -A -o json | stowplan plan -f -
  stowplan plan -f cluster.json -f new-pods.yaml -o json
  stowplan plan -f cluster.json -f my-stateful-cluster.yaml
""",
)
@_input
@_connection
def plan(**flags: Any) -> None:
    """Where all pending pods would go, in queue order, each placed before the next. Nothing is written.

    Of a StatefulCluster in a file also the members that it lacks, with the claims that they would get.

    The exit code is 1 where a pod fits nowhere, or a Required rule of a policy would be broken with all of them placed.
    """
    with _progress() as told:
        answer = _run(judge.plan(_question(flags, told)))
    _print(flags["output"], data=msgspec.to_builtins(answer.document()), text=lambda wide: answer.text(wide=wide))
    if answer.unschedulable or answer.broken:
        sys.exit(EXIT_NO)


def _question(flags: dict[str, Any], told: Callable[[str], None]) -> judge.Question:
    return judge.Question(
        files=flags["files"],
        kubeconfig=flags["kubeconfig"],
        context=flags["context"],
        namespace=None if flags["all_namespaces"] else flags["namespace"],
        labels=flags["labels"],
        scheduler_name=flags["scheduler_name"],
        settings=settings.load(flags["config_file"]),
        told=told,
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on the terminal that says what is being done, once it takes long; nothing where there is no terminal."""
    started = time.monotonic()
    shown = False

    def tell(doing: str) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() - started > PATIENCE:
            shown = True
            click.echo(f"\r\033[K{doing} …", err=True, nl=False)

    try:
        yield tell
    finally:
        if shown:
            click.echo("\r\033[K", err=True, nl=False)


def _explained(one: Explanation) -> dict[str, object]:
    """An explanation under the pod's name; ``gang`` only where the pod is in one."""
    plain: dict[str, object] = msgspec.to_builtins(one)
    del plain["pod"]
    if one.gang is None:
        del plain["gang"]
    return plain


def _print(output: str, *, data: object, text: Callable[[bool], str]) -> None:
    match output:
        case "json":
            click.echo(json.dumps(data, indent=2))
        case "yaml":
            click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
        case _:
            click.echo(text(output == "wide"))


R = TypeVar("R")


def _run(work: Coroutine[Any, Any, R]) -> R:
    """Runs to the end on the fastest event loop there is."""
    factory = None
    if sys.platform == "linux":
        import uvloop  # noqa: PLC0415 - for Linux only

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def _fail(error: BaseException, code: int) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console scripts."""
    try:
        cli(arguments, prog_name="stowplan", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "stowplan"
        _fail(Exception(f"{error.format_message().rstrip('.')}; see {where} --help"), EXIT_USAGE)
    except errors.ApiError as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            _fail(Exception(f"the API server does not accept the credentials that it was given: {error}"), EXIT_USAGE)
        if error.status == HTTPStatus.FORBIDDEN:
            _fail(Exception(f"{error}; ask for that right"), EXIT_USAGE)
        _fail(error, EXIT_UNREACHABLE)
    except errors.ApiUnreachable as error:
        _fail(error, EXIT_UNREACHABLE)
    except (errors.UsageError, errors.InvalidObject) as error:
        _fail(error, EXIT_USAGE)
    except errors.StowplanError as error:
        _fail(error, EXIT_NO)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
