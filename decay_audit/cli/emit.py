"""`decay-audit emit`: the param-group code."""

from decay_audit.cli import options as o
from decay_audit.cli import screen


def emit(
    target: o.Target,
    rules: o.Rules = o.DEFAULT_RULES,
    weight_decay: o.WeightDecay = None,
    optimizer: o.OptimizerClass = None,
    lr: o.LearningRate = None,
    set_: o.Settings = None,
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    model: o.ModelOption = None,
    trace: o.Trace = None,
    output: o.Output = None,
    color: o.ColorOption = o.Color.auto,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Print the param groups as Python that was executed and compared with the plan."""
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
            progress=progress,
        )
        loaded = api.load(request)
        text = api.code(
            loaded, api.plan(loaded.inventory, rules, weight_decay), optimizer=optimizer, lr=lr, settings=set_ or ()
        )
    screen.write(reports.python(text, screen.look(output, color)), output)
