"""What a comparison found: tables, and how they are printed, drawn and kept."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.files import path_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "MEASURES", "FrameworkComparison", "typed"]

COLUMNS = {
    "framework": "str",
    "label": "str",
    "era": "str",
    "version": "str",
    "python": "str",
    "rank": "Int64",
    "agrees": "boolean",
    "difference": "float64",
    "images_per_second": "float64",
    "images_per_second_lower": "float64",
    "images_per_second_upper": "float64",
    "first_step_seconds": "float64",
    "import_seconds": "float64",
    "memory_mib": "float64",
    "device_memory_mib": "float64",
    "accuracy": "float64",
    "accuracy_lower": "float64",
    "accuracy_upper": "float64",
    "n": "Int64",
    "installed_mib": "float64",
    "lines": "Int64",
    "settings": "str",
    "problem": "str",
}
"""The columns of the table, and their types."""

MEASURES = {
    "images_per_second": "most",
    "first_step_seconds": "least",
    "import_seconds": "least",
    "memory_mib": "least",
    "device_memory_mib": "least",
    "accuracy": "most",
    "installed_mib": "least",
    "lines": "least",
}
"""The measures, and whether the most or the least is best."""

# An accuracy can be 0; what takes no time or space was not measured.
_MAY_BE_NONE = ("accuracy",)

_SHOWN = {
    "label": "",
    "version": "version",
    "images_per_second": "images/s",
    "spread": "slowest-fastest",
    "first_step_seconds": "first step s",
    "import_seconds": "import s",
    "memory_mib": "memory MiB",
    "device_memory_mib": "GPU MiB",
    "accuracy": "accuracy",
    "interval": "95% interval",
    "installed_mib": "installed MiB",
    "lines": "lines",
    "same": "same losses",
}
_ABOUT = ("task", "device", "epochs", "rounds", "seed", "threads", "wall_seconds", "date")
_PARTS = ("epochs", "losses")


@dataclass(frozen=True, repr=False)
class FrameworkComparison:
    """What `compare_frameworks` found.

    Attributes
    ----------
    table : DataFrame
        One row a framework: ``framework``, ``label``, ``era``, ``version``, ``python``; ``rank`` by
        speed among those that agree; ``agrees``, whether its losses are those of the reference, and
        ``difference``, the largest relative one; ``images_per_second`` in training, the median over
        epochs without the warm-up, with the slowest and the fastest epoch (``_lower``,
        ``_upper``); ``first_step_seconds``, which holds what is compiled; ``import_seconds``;
        ``memory_mib``, and of the GPU ``device_memory_mib``, at their peaks; ``accuracy`` on ``n``
        test images, with Wilson's 95% interval; ``installed_mib`` of its packages, NaN where they
        are not known; ``lines`` of its program; ``settings``, variables that were set;
        ``problem``, why it was not measured, or "".
    epoch_times : DataFrame
        ``framework``, ``round``, ``epoch``, ``seconds``, ``images_per_second``; the first epoch
        warms up.
    losses : DataFrame
        ``framework``, ``step``, ``loss``, ``expected``: the first steps, and what they should be.
    task : str
        Such as "lenet-mnist"; "lenet-digits" where digits stood in for MNIST.
    device : {"cpu", "gpu"}
    epochs, rounds, seed, threads : int
    wall_seconds : float
        What all of it took, environments that were made included; NaN where a file does not say.
    machine : dict
        ``processor``, ``cores``, ``memory_mib``, ``system``, ``gpu``.
    date : str
        The day, as 2026-01-31.
    """

    table: pd.DataFrame
    epoch_times: pd.DataFrame
    losses: pd.DataFrame
    task: str
    device: str
    epochs: int
    rounds: int
    seed: int
    threads: int
    wall_seconds: float
    machine: Mapping[str, Any]
    date: str

    @property
    def versions(self) -> dict[str, str]:
        """The version of each framework that ran."""
        ran = self.table[self.table["problem"] == ""]
        return dict(zip(ran["framework"], ran["version"], strict=True))

    @property
    def skipped(self) -> pd.DataFrame:
        """The frameworks that were not measured, and why: ``framework``, ``problem``."""
        missing = self.table["problem"] != ""
        return self.table.loc[missing, ["framework", "problem"]].reset_index(drop=True)

    def summary(self) -> pd.DataFrame:
        """Compare the frameworks measure by measure.

        Returns
        -------
        DataFrame
            ``measure``, ``framework``, ``value``, ``ratio`` to the best, and ``rank``; sorted by
            them. Frameworks whose losses differ from the reference compute something else: they
            are not ranked.
        """
        ranked = self.table[
            (self.table["problem"] == "") & self.table["agrees"].fillna(False).astype(bool)
        ]
        parts = []
        for measure, best in MEASURES.items():
            values = ranked[measure].astype("float64")
            part = pd.DataFrame({"framework": ranked["framework"], "value": values}).dropna()
            if measure not in _MAY_BE_NONE:
                part = part[part["value"] > 0]  # nothing was measured
            if not len(part):
                continue  # such as memory of a GPU on a CPU
            part = part.sort_values("value", ascending=best == "least", kind="stable")
            part.insert(0, "measure", measure)
            part["ratio"] = part["value"] / part["value"].iloc[0]
            part["rank"] = part["value"].rank(method="min", ascending=best == "least").astype(int)
            parts.append(part)
        if not parts:
            return pd.DataFrame(columns=["measure", "framework", "value", "ratio", "rank"])
        return pd.concat(parts, ignore_index=True)

    def plot(self) -> Figure:
        """Draw speed, accuracy against time, and memory; see `diglot.plots.plot_frameworks`."""
        from diglot.plots import plot_frameworks

        return plot_frameworks(self.table, self.epoch_times)

    def to_csv(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the comparison as CSV.

        Parameters
        ----------
        path : path
            Where the table goes; machine, date and settings are columns that are the same in each
            row. The epochs and the losses go beside it, into ``<name>-epochs.csv`` and
            ``<name>-losses.csv``.

        Returns
        -------
        list of Path
            The files that were written.
        """
        about = {name: getattr(self, name) for name in _ABOUT} | {
            f"machine_{name}": value for name, value in self.machine.items()
        }
        tables = (self.table.assign(**about), self.epoch_times, self.losses)
        places = _places(path)
        try:
            for table, place in zip(tables, places, strict=True):
                table.to_csv(place, index=False, lineterminator="\n")
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {error.strerror or error}") from None
        return places

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> FrameworkComparison:
        """Read what `to_csv` wrote.

        Raises
        ------
        InputError
            If a file is missing or not such a table.
        """
        places = _places(path)
        try:
            tables = [_read(place) for place in places]
            table, epochs, losses = tables
            given = table.iloc[0]
            machine = {
                name.removeprefix("machine_"): _plain(given[name])
                for name in table.columns
                if name.startswith("machine_")
            }
            about = {name: given[name] for name in _ABOUT if name != "wall_seconds"}
            about["wall_seconds"] = float(given.get("wall_seconds", np.nan))
            for name in ("epochs", "rounds", "seed", "threads"):
                about[name] = int(about[name])
            table = typed(table[list(COLUMNS)])
        except FileNotFoundError as error:
            raise InputError(f"there is no file '{error.filename}'; check the path") from None
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(f"'{path}' is no comparison that to_csv() wrote: {error}") from None
        return cls(table, epochs, losses, machine=machine, **about)

    def __repr__(self) -> str:
        lines = [self._heading(), "", self._printed().to_string(index=False)]
        return "\n".join([*lines, *self._remarks()])

    def _repr_html_(self) -> str:
        table = self._printed().to_html(index=False, border=0)
        remarks = "".join(f"<p>{html.escape(line)}</p>" for line in self._remarks() if line)
        return f"<p>{html.escape(self._heading())}</p>{table}{remarks}"

    def _heading(self) -> str:
        machine = self.machine
        gpu = f", {machine['gpu']}" if self.device == "gpu" and machine.get("gpu") else ""
        return (
            f"{self.task}, {self.epochs} epochs in {self.rounds} round{'s' * (self.rounds > 1)}, "
            f"{self.threads} thread{'s' * (self.threads > 1)}: {machine.get('processor')}, "
            f"{machine.get('cores')} cores{gpu}, {machine.get('system')}, {self.date}"
        )

    def _printed(self) -> pd.DataFrame:
        """Return the rows that were measured, the fastest first, as text."""
        rows = self.table[self.table["problem"] == ""]
        rows = rows.sort_values(["rank", "images_per_second"], ascending=[True, False])
        texts = [_as_text(row) for row in rows.to_dict("records")]
        shown = dict(_SHOWN)
        if not (rows["device_memory_mib"] > 0).any():
            del shown["device_memory_mib"]
        return pd.DataFrame(texts, columns=list(shown)).rename(columns=shown)

    def _remarks(self) -> list[str]:
        lines = []
        for row in self.table[self.table["problem"] == ""].itertuples():
            if not row.agrees:
                lines.append(
                    f"{row.label} computes something else (its losses differ by up to "
                    f"{row.difference:.1e} of the reference's): it is not ranked."
                )
        for row in self.skipped.itertuples():
            lines.append(f"{row.framework} was not measured: {row.problem}")
        return ["", *lines] if lines else []


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its columns' types; a text that is missing is empty."""
    texts = [name for name, kind in COLUMNS.items() if kind == "str"]
    return table.assign(**{name: table[name].fillna("") for name in texts}).astype(COLUMNS)


def _as_text(row: Mapping[str, Any]) -> dict[str, str]:
    def ends(name: str, digits: str) -> str:
        return f"{row[f'{name}_lower']:{digits}}-{row[f'{name}_upper']:{digits}}"

    return {
        "label": row["label"],
        "version": row["version"],
        "images_per_second": f"{row['images_per_second']:,.0f}",
        "spread": ends("images_per_second", ",.0f"),
        "first_step_seconds": f"{row['first_step_seconds']:.2f}",
        "import_seconds": f"{row['import_seconds']:.2f}",
        "memory_mib": f"{row['memory_mib']:,.0f}",
        "device_memory_mib": f"{row['device_memory_mib']:,.0f}",
        "accuracy": f"{row['accuracy']:.3f}",
        "interval": ends("accuracy", ".3f"),
        "installed_mib": "" if np.isnan(row["installed_mib"]) else f"{row['installed_mib']:,.0f}",
        "lines": str(row["lines"]),
        "same": "yes" if row["agrees"] else "NO",
    }


def _places(path: str | os.PathLike[str]) -> list[Path]:
    """Return where the three tables are."""
    main = Path(os.path.expanduser(path_of(path, "path")))
    return [main, *(main.with_name(f"{main.stem}-{part}{main.suffix}") for part in _PARTS)]


def _read(place: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(place, dtype={"version": str, "python": str, "date": str})
    except pd.errors.ParserError as error:
        raise ValueError(str(error)) from None


def _plain(value: Any) -> Any:
    """Return a cell as Python's own value; an empty one is ""."""
    value = value.item() if isinstance(value, np.generic) else value
    return "" if isinstance(value, float) and np.isnan(value) else value
