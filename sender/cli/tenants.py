"""``sender tenants …``: for the operator."""

from typing import Annotated

import typer

from sender.cli.showing import AsJson, console, fields_of, show_facts, show_json, show_table
from sender.config import Settings
from sender.credentials import SECRETS, new_key
from sender.domain.replies import ReplyEvent
from sender.runtime import Runtime
from sender.tenancy import Tenancy

app = typer.Typer(help="Clients with their own Twilio account.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The tenant's name.")]


def _tenancy(ctx: typer.Context) -> Tenancy:
    tenancy = Runtime(settings=Settings.from_environment()).tenancy()
    ctx.call_on_close(tenancy.db.close)
    return tenancy


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    account_sid: Annotated[str, typer.Option(help="Its Twilio account: AC…")],
    stop_scope: Annotated[
        str, typer.Option(help="What a STOP covers: tenant (all its senders) or sender.")
    ] = "tenant",
) -> None:
    """Enter a tenant; its credentials come next."""
    tenant = _tenancy(ctx).add(name, account_sid=account_sid, stop_scope=stop_scope)
    console.print(f"tenant {tenant.name} entered; now: sender tenants credentials {tenant.name}")


@app.command("list")
def list_(ctx: typer.Context, json: AsJson = False) -> None:
    """All tenants, with their account and policy."""
    found = _tenancy(ctx).every()
    if json:
        show_json({"tenants": found})
        return
    rows = ((one.id, one.name, one.account_sid, one.stop_scope, one.weight) for one in found)
    show_table(("id", "name", "account", "a STOP covers", "weight"), rows, empty="there is none")


@app.command()
def policy(
    ctx: typer.Context,
    name: Name,
    stop_scope: Annotated[str, typer.Option(help="tenant or sender; for STOPs from now on.")],
) -> None:
    """What a STOP covers: all of the tenant's senders, or the one that was answered."""
    _tenancy(ctx).set_stop_scope(name, stop_scope)
    console.print(f"from now on a STOP to {name} covers: {stop_scope}")


@app.command()
def weight(
    ctx: typer.Context,
    name: Name,
    share: Annotated[float, typer.Argument(metavar="WEIGHT", help="0.001 to 1000; 1 is ordinary.")],
) -> None:
    """A tenant's share of the fleet when not all can be served at once: 2 is twice that of 1."""
    _tenancy(ctx).set_weight(name, share)
    console.print(f"{name} weighs {share:g}")


@app.command()
def credentials(
    ctx: typer.Context,
    name: Name,
    from_environment: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep names only: auth_token=ACME_TOKEN; every process must have the variable."
        ),
    ] = None,
) -> None:
    """Set how a tenant signs in: typed in and stored encrypted, or named by variables."""
    tenancy = _tenancy(ctx)
    if from_environment:
        pairs = [text.partition("=") for text in from_environment]
        tenancy.name_variables(name, {kind: variable for kind, _, variable in pairs})
    else:
        typed = {
            kind: typer.prompt(f"{kind} (empty for none)", default="", hide_input=True)
            for kind in SECRETS
        }
        tenancy.store_secrets(name, typed)
    tenancy.check(name)
    console.print(
        f"the credentials of {name} are readable here; running processes have them in 30 s"
    )


@app.command()
def forward(
    ctx: typer.Context,
    name: Name,
    url: Annotated[str, typer.Argument(help="https://…; without it, what is posted where.")] = "",
    new_secret: Annotated[bool, typer.Option(help="Sign with another secret from now on.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Post nothing any more.")] = False,
    json: AsJson = False,
) -> None:
    """Post what people text to a tenant, keywords apart, to an address of the tenant's."""
    tenancy = _tenancy(ctx)
    if off:
        console.print(f"nothing is posted any more; {tenancy.stop_forwarding(name)} texts waited")
    elif url:
        _show_secret(tenancy.forward(name, url, new_secret=new_secret), json=json)
    elif json:
        show_json({"forward": tenancy.forwarding(name)})
    else:
        found = tenancy.forwarding(name)
        facts = fields_of(found) if found else {"url": "none: nothing is posted"}
        show_facts(facts.items())


def _show_secret(secret: str, *, json: bool) -> None:
    if json:
        show_json({"secret": secret or None})
    elif secret:
        console.print("posts are signed with this secret, which is shown this once:")
        typer.echo(secret)
    else:
        console.print("posts go there from now on, signed with the secret they had")


@app.command("new-key")
def new_key_() -> None:
    """Print a fresh key for SENDER_SECRET_KEY."""
    typer.echo(new_key())


@app.command("rotate-key")
def rotate_key(ctx: typer.Context) -> None:
    """Encrypt every stored secret with the newest key in SENDER_SECRET_KEY."""
    console.print(f"{_tenancy(ctx).encrypt_anew()} tenants' secrets encrypted with the newest key")


@app.command()
def pool(
    ctx: typer.Context,
    name: Name,
    number: Annotated[str, typer.Option(help="A number: +1…")],
    service: Annotated[str, typer.Option(help="The Messaging Service it is or was in: MG…")],
) -> None:
    """Record that a number is in a Messaging Service: a STOP to one counts for both, for good."""
    _tenancy(ctx).put_in_service(name, number=number, service=service)
    console.print(f"{number} is in {service}")


@app.command()
def reply(
    ctx: typer.Context,
    name: Name,
    sender: Annotated[str, typer.Option(help="The tenant's sender that was texted.")],
    event: Annotated[ReplyEvent, typer.Option(help="What is answered.")],
    text: Annotated[str, typer.Option(help="The answer; empty for none.")],
) -> None:
    """Have a sender answer STOP, START or HELP where neither Twilio nor the carrier does."""
    _tenancy(ctx).set_reply(name, sender=sender, event=event, text=text)
    console.print(
        f"{sender} answers {event}: {text!r}" if text else f"{sender} is silent on {event}"
    )
