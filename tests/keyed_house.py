"""A database that listens to the stand-in through an API with keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import select

from ouvidor.collectors.run import RunReport, prove, run_source
from ouvidor.config import Source
from ouvidor.demo.server import StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door

ZONE = ZoneInfo("America/Sao_Paulo")


class House:
    """``source`` makes the source from options; every run is at the stand-in's ``now``."""

    def __init__(
        self, brand: StandIn, door: Door, folder: Path, source: Callable[..., Source]
    ) -> None:
        self.brand, self.door, self.folder, self._source = brand, door, folder, source
        self.db = self.anew()

    def anew(self) -> Database:
        """Another empty house."""
        template = self.folder.parent / "template.db"
        if not template.exists():
            open_database(f"sqlite:///{template}").close()
        path = self.folder / f"{len(list(self.folder.glob('*.db')))}.db"
        shutil.copy(template, path)
        return open_database(f"sqlite:///{path}")

    def source(self, **options: object) -> Source:
        return self._source(**options).model_copy(update={"base_url": self.brand.url})

    def collect(
        self, *, db: Database | None = None, full: bool = False, **options: object
    ) -> RunReport:
        return run_source(
            db or self.db,
            "source",
            self.source(**options),
            door=self.door,
            now=self.brand.now,
            folder=self.folder,
            full=full,
        )

    def check(self, **options: object) -> str:
        source = self.source(**options)
        return prove("source", source, zone=ZONE, folder=self.folder, now=self.brand.now)

    def stored(self, db: Database | None = None) -> set[tuple[object, ...]]:
        columns = (t.feedback.c.external_id, t.feedback.c.text, t.feedback.c.reply_text)
        with (db or self.db).read() as connection:
            return {tuple(row) for row in connection.execute(select(*columns))}

    def fresh(self) -> set[tuple[object, ...]]:
        """What one full run into an empty house finds."""
        db = self.anew()
        self.collect(db=db)
        found = self.stored(db)
        db.close()
        return found

    def mark(self, **changes: object) -> dict[str, object]:
        """The collector's checkpoint, changed first."""
        with self.db.write() as connection:
            value = connection.execute(select(t.checkpoint.c.value)).scalar_one()
            value["mark"] |= changes
            connection.execute(t.checkpoint.update().values(value=value))
        found: dict[str, object] = value["mark"]
        return found
