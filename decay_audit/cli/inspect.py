"""`decay-audit inspect`: the table."""

from decay_audit.cli import options as o
from decay_audit.cli import screen


def inspect(
    target: o.Target,
    rules: o.Rules = o.DEFAULT_RULES,
    weight_decay: o.WeightDecay = None,
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    model: o.ModelOption = None,
    trace: o.Trace = None,
    optimizer: o.Optimizer = None,
    measure: o.Measure = False,
    checkpoint: o.Checkpoint = None,
    only: o.Only = None,
    role: o.RoleOption = None,
    grep: o.Grep = None,
    full: o.Full = False,
    format: o.FormatOption = o.Format.text,  # noqa: A002
    output: o.Output = None,
    color: o.ColorOption = o.Color.auto,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Show what each parameter is and what the ruleset decides (always exit 0)."""
    from decay_audit import api, reports

    with screen.progress(quiet=quiet) as progress:
        request = api.Request(
            target=target,
            rules=rules,
            weight_decay=weight_decay,
            device=device.value,
            key=key,
            model=model,
            trace=trace,
            optimizer=optimizer,
            measure=measure,
            checkpoint=checkpoint,
            progress=progress,
        )
        loaded = api.load(request)
        report = api.report(loaded, request)
    shown = reports.only(report, globs=only or (), roles=role or (), grep=grep)
    look = screen.look(output, color, full=full, verbose=verbose, artifact=api.file_of(target))
    screen.write(reports.render(shown, format.value, look), output)
