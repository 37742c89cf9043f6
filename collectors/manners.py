"""Manners: how this program behaves as a guest. All of Scrapy's settings stand here.

One request at a time per host, a delay, robots.txt obeyed, an honest name, bounded in time and
bytes, no doors of its own left open. Retries and Retry-After are in ``web``, because a wait that
a server asks for is a decision and not a setting; what several processes owe one host together is
in ``turns``.
"""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, metadata
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from .collector import Options

DELAY = 1.0
"""Seconds between two requests to one host."""


def user_agent(contact: str = "") -> str:
    """Who we are and where to complain: the operator's own contact, else the project's page."""
    try:
        about = metadata("ouvidor")
    except PackageNotFoundError:
        return "ouvidor"
    pages = about.get_all("Project-URL") or []
    contact = contact or next((page.partition(", ")[2] for page in pages), "")
    return f"ouvidor/{about['Version']}" + (f" (+{contact})" if contact else "")


def is_loopback(url: str) -> bool:
    """Whether an address is this machine: nobody there to be polite to."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def scrapy_settings(options: Options, url: str) -> dict[str, Any]:
    """Scrapy's settings for one run against the host of ``url``."""
    delay = options.delay
    if delay is None:
        delay = 0 if is_loopback(url) else DELAY
    return {
        "USER_AGENT": user_agent(options.contact),
        "ROBOTSTXT_OBEY": True,
        "DEFAULT_REQUEST_HEADERS": {"Accept": "*/*"},
        "CONCURRENT_REQUESTS": 1,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "DOWNLOAD_DELAY": delay,
        "DOWNLOAD_DELAY_JITTER": 0,
        "DOWNLOAD_TIMEOUT": options.timeout,
        "DOWNLOAD_MAXSIZE": int(options.max_megabytes * 1_048_576),
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_FAIL_ON_DATALOSS": True,
        # Where a source sends us is for a person to decide, not for a header.
        "REDIRECT_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "RETRY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "REFERER_ENABLED": False,
        # Scrapy 2.19 would run Python that is sent to it, and open a shell over telnet.
        "REMOTE_CONTROL_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "LOGSTATS_INTERVAL": 0,
        "STATS_DUMP": False,
        "LOG_ENABLED": False,
    }


def quiet() -> None:
    """Keep Scrapy's and Twisted's own lines out of the log: the run speaks for itself.

    They quote bodies and addresses, and call an error what is an outcome here.
    """
    for name in ("scrapy", "twisted", "filelock"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
