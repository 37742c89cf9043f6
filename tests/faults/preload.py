"""What every child of the fault suite would import by itself, imported once.

Nothing here may start a thread or an event loop: the process that imports it is forked.
"""

from __future__ import annotations

import importlib
import os

# Its own builds start a thread as soon as they are imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

HEAVY = (
    *(
        "onnxruntime",
        "safetensors.numpy",
        "lingua",
        "jinja2.ext",
        "alembic.command",
        "phonenumbers",
    ),
    *("PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PpmImagePlugin"),
    *("aiohttp", "requests", "tldextract", "protego", "psycopg", "sqlalchemy.dialects.postgresql"),
    *("scrapy.crawler", "scrapy.robotstxt", "scrapy.squeues", "scrapy.extensions.feedexport"),
    *("scrapy.extensions.telnet", "scrapy.core.downloader.middleware"),
    *("scrapy.core.downloader.handlers.http11", "scrapy.downloadermiddlewares.cookies"),
    *("scrapy.downloadermiddlewares.robotstxt", "scrapy.downloadermiddlewares.httpcompression"),
)
OURS = (
    *("cli", "verbs.work", "verbs.tell", "verbs.read", "verbs.db", "verbs.status"),
    *("collectors.run", "nlp.annotate", "nlp.tagger", "nlp.engine", "storage.migrations"),
    *("reports.digest", "reports.watch", "reports.deliver", "reports.vigil"),
    *("reports.vigil_letter", "reports.paper"),
)

for name in (*HEAVY, *(f"ouvidor.{each}" for each in OURS), "faults.child"):
    importlib.import_module(name)
importlib.import_module("ouvidor.collectors.collector").kinds()
