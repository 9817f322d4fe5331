"""Somebody at a browser without scripts: follows links, sends forms as they stand in the page."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

import httpx

PASSWORD = "correct horse battery staple"


@dataclass
class Person:
    """One browser: its cookies are kept by hand, since they are `Secure` and the tests speak plain HTTP."""

    server: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._keep(httpx.get(self.server + path, headers={**self._headers, **headers}, timeout=30))

    def post(self, path: str, fields: dict[str, object], **headers: str) -> httpx.Response:
        """Send fields exactly as given, with no token against forgery of its own."""
        return self._keep(httpx.post(self.server + path, data=fields, headers={**self._headers, **headers}, timeout=30))

    def submit(self, path: str, *, page: str | None = None, **fields: object) -> httpx.Response:
        """Send a form with the token that the page carries."""
        return self.post(path, {"csrf_token": self.token(page or "/ops/search"), **fields})

    def token(self, page: str) -> str:
        found = re.search(r'name="csrf_token" value="([0-9a-f]+)"', self.get(page).text)
        assert found is not None
        return found[1]

    def join(self, link: str, email: str) -> Person:
        """Become an operator by an inviting link."""
        secret = link.rpartition("link=")[2]
        page = f"/ops/sign-in?link={secret}"
        answer = self.submit("/ops/welcome", page=page, link=secret, email=email, password=PASSWORD, name="")
        assert answer.status_code == 303, text_of(answer)
        return self

    @property
    def _headers(self) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Accept": "text/html", **({"Cookie": cookies} if cookies else {})}

    def _keep(self, answer: httpx.Response) -> httpx.Response:
        for header in answer.headers.get_list("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer


def text_of(answer: httpx.Response) -> str:
    """What a page says, without its markup."""
    main = answer.text.partition("<main")[2]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)))


def invitation_in(answer: httpx.Response) -> str:
    """The one-time link that a page shows."""
    found = re.search(r"/ops/sign-in\?link=([\w-]+)", answer.text)
    assert found is not None, text_of(answer)
    return found[1]
