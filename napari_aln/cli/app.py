"""All commands, in the order in which the help lists them."""

from __future__ import annotations

import typer

from napari_aln.cli import (
    annotation_files,
    cache,
    cohort,
    demo,
    doctor,
    evaluate,
    evaluate_maps,
    interpret,
    model,
    nuclei,
    predict,
    train,
    verify,
    view,
)

app = typer.Typer(
    name="napari-aln",
    help="Axillary lymph node metastasis from breast core-needle biopsy slides. Research use only.",
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
