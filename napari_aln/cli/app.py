"""All commands, in the order in which the help lists them."""

from __future__ import annotations

import typer

from napari_aln.cli import (
    annotation_files,
    cache,
    cohort,
    completion,
    demo,
    doctor,
    evaluate,
    evaluate_maps,
    examples,
    interpret,
    model,
    nuclei,
    output,
    predict,
    train,
    verify,
    view,
)

_HELP = (
    "Axillary lymph node metastasis from breast core-needle biopsy slides. Research use only."
    "\n\n"
    "Without a command the window opens. Results go to stdout; progress, warnings and errors to stderr. Exit "
    "codes: 0 done; 1 done, but something failed, differs or is missing; 2 wrong input; 130 cancelled."
    "\n\n"
    "In scripts: --json makes what a command found one JSON document on stdout, where the command's help "
    "names it; --quiet (-q), before the command or after it, leaves out progress and remarks."
    "\n\n"
    "Tab completion in bash, zsh, fish and PowerShell: run napari-aln --install-completion once and open a "
    "new terminal. Commands, flags, choices and files complete."
)

app = typer.Typer(
    name="napari-aln",
    help=_HELP,
    invoke_without_command=True,
    callback=view.without_command,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("view")(view.view)
app.command("demo")(demo.demo)
app.command("predict")(predict.predict)
app.command("verify")(verify.verify)
app.command("train")(train.train)
app.command("pretrain")(train.pretrain)
app.command("train-demo")(train.train_demo)
app.command("evaluate")(evaluate.evaluate)
app.command("evaluate-maps")(evaluate_maps.evaluate_maps)
app.command("interpret")(interpret.interpret)
app.add_typer(model.app, name="model")
app.add_typer(nuclei.app, name="nuclei")
app.add_typer(cohort.app, name="cohort")
app.add_typer(annotation_files.app, name="annotations")
app.add_typer(cache.app, name="cache")
app.command("doctor")(doctor.doctor)
examples.with_examples(app)
output.with_quiet(app)
completion.mend_zsh()
