"""The command line of the feature flags; straight on the ops database, so that it works with no server up."""

from __future__ import annotations

import typer

from opsbook.flags.approval import commands as approval
from opsbook.flags.commands import levers, prerequisites, reading, rules, segments, variants
from opsbook.flags.interchange import commands as interchange
from opsbook.flags.promotion import commands as promotion
from opsbook.flags.readers import commands as readers
from opsbook.flags.schedules import commands as schedules
from opsbook.flags.staleness import commands as staleness
from opsbook.flags.webhooks import commands as webhooks

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Switch features on, off and up; kill and undo.")

for part in (reading, levers, interchange, promotion, approval, readers, staleness):
    app.add_typer(part.app)
for name, part in (
    ("rule", rules),
    ("segment", segments),
    ("variant", variants),
    ("prerequisite", prerequisites),
    ("schedule", schedules),
    ("webhook", webhooks),
):
    app.add_typer(part.app, name=name)
