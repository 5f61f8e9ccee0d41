"""What R's reports tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from diglot.bridge import plain, received
from diglot.bridge.answers import answered
from diglot.bridge.classifier import known


@answered
def report_data(
    model: Any,
    images: Mapping[str, Any],
    codes: Any,
    title: str | None,
    training_images: int | None,
) -> dict[str, Any]:
    """Gather what a report tells; tables are as `plain.table` gives them."""
    from diglot.report import report_data as gathered

    count = None if training_images is None else int(training_images)
    parts = gathered(
        model,
        received.images(images),
        known(model, codes),
        title=title,
        training_images=count,
        names=[plain.level_text(label) for label in model.classes_],
    )
    return {
        name: plain.table(part) if isinstance(part, pd.DataFrame) else part
        for name, part in parts.items()
    }
