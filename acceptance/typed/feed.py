"""A client that was generated from /openapi.json pages, filters, follows the
delta, changes state, sends batches and gets errors. mypy --strict holds this
script to what the description says. What it saw goes to stdout as JSON."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from carillon_api import AuthenticatedClient
from carillon_api.api.bulk import list_deliveries
from carillon_api.api.notifications import (
    batch,
    count_my_notifications,
    delete_my_notification,
    delta_my_notifications,
    get_my_notification,
    get_my_notification_by_key,
    list_my_notifications,
    patch_my_notification,
    send_notification,
)
from carillon_api.models import (
    Batch,
    BatchAnswer,
    BatchRequest,
    BatchRequestHeaders,
    BatchRequestMethod,
    Deliveries,
    DeltaPage,
    Error,
    ErrorCode,
    ErrorDetail,
    ListMyNotificationsOrderby,
    NewNotification,
    Notification,
    NotificationPage,
    Payload,
    Removed,
    SelectedNotification,
    StateChange,
    StateChangeUserActionStateType0,
    UserActionState,
    VisualContent,
)
from carillon_api.types import UNSET, Response, Unset

HOST, USER = os.environ["CARILLON_HOST"], os.environ["CARILLON_USER"]
mine = AuthenticatedClient(base_url=os.environ["CARILLON_URL"], token=os.environ["CARILLON_TOKEN"], raise_on_unexpected_status=True)
app = AuthenticatedClient(base_url=os.environ["CARILLON_URL"], token=os.environ["CARILLON_APP"], raise_on_unexpected_status=True)

T = TypeVar("T")
Entry = Removed | SelectedNotification


class Refused(Exception):
    """What the service refused, as its description types it."""

    def __init__(self, status: int, error: ErrorDetail) -> None:
        super().__init__(error.message)
        self.status, self.error = status, error


def want(kind: type[T], answer: Response[Any]) -> T:
    """The parsed answer, which must be of this type."""
    if isinstance(answer.parsed, Error):
        raise Refused(answer.status_code, answer.parsed.error)
    assert isinstance(answer.parsed, kind), f"{answer.status_code}: {answer.content!r}"
    return answer.parsed


def option(link: str, name: str) -> str:
    """A query option of a nextLink or deltaLink."""
    return parse_qs(urlsplit(link).query)[name][0]


def title(n: SelectedNotification | Notification) -> str:
    """The title of a notification, with a star when it is read."""
    assert isinstance(n.payload, Payload) and isinstance(n.payload.visual_content, VisualContent)
    return n.payload.visual_content.title + ("*" if n.read_state is True else "")


def label(entry: Entry) -> str:
    return f"-{entry.removed.reason}" if isinstance(entry, Removed) else title(entry)


def note(i: int) -> NewNotification:
    return NewNotification(
        target_host_name=HOST,
        payload=Payload(visual_content=VisualContent(title=f"t{i}")),
        app_notification_id=f"n'{i}",
        group_name="odd" if i % 2 else "even",
    )


def request(name: str, method: BatchRequestMethod, url: str, after: str | None, body: dict[str, Any] | Unset = UNSET) -> BatchRequest:
    headers = BatchRequestHeaders()
    headers["Content-Type"] = "application/json"
    return BatchRequest(id=name, method=method, url=url, depends_on=[after] if after else UNSET, headers=headers, body=body)


def pages(position: str) -> Iterator[NotificationPage]:
    """The history, two a page."""
    page = want(NotificationPage, list_my_notifications.sync_detailed(client=mine, top=2, count=True, read_write_consistency_token=position))
    yield page
    while isinstance(page.odata_next_link, str):
        page = want(NotificationPage, list_my_notifications.sync_detailed(client=mine, skiptoken=option(page.odata_next_link, "$skiptoken")))
        yield page


def delta(since: str | None, position: str | Unset = UNSET) -> tuple[list[Entry], str]:
    """The changes since a deltaLink, or everything, and the next deltaLink."""
    page = want(
        DeltaPage,
        delta_my_notifications.sync_detailed(client=mine, deltatoken=option(since, "$deltatoken"), read_write_consistency_token=position)
        if since
        else delta_my_notifications.sync_detailed(client=mine, top=2),
    )
    entries = list(page.value)
    while isinstance(page.odata_next_link, str):
        page = want(DeltaPage, delta_my_notifications.sync_detailed(client=mine, skiptoken=option(page.odata_next_link, "$skiptoken")))
        entries += page.value
    assert isinstance(page.odata_delta_link, str)
    return entries, page.odata_delta_link


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except Refused as e:
        return f"{e.status} {e.error.code} {e.error.target or '-'}"
    return "none"


seen: dict[str, Any] = {}

# Five in one batch, each after the one before, and one that must fail.
steps = [request(f"{i}", BatchRequestMethod.POST, "/me/notifications", f"{i - 1}" if i > 1 else None, note(i).to_dict()) for i in range(1, 6)]
steps.append(request("bad", BatchRequestMethod.POST, "/me/notifications", "5", {}))
steps.append(request("after", BatchRequestMethod.GET, "/me/notifications", "bad"))
answers = {a.id: a for a in want(BatchAnswer, batch.sync_detailed(client=mine, body=Batch(requests=steps))).responses}
seen["batch"] = [answers[s.id].status for s in steps]
failed = answers["after"].body
assert isinstance(failed, dict)
seen["failed"] = Error.from_dict(failed).error.code
last = answers["5"].headers
assert not isinstance(last, Unset)

history = list(pages(last["ReadWriteConsistencyToken"]))
seen["count"] = history[0].odata_count
seen["firstPage"] = len(history[0].value)
seen["paged"] = [title(n) for page in history for n in page.value]
seen["filtered"] = [
    title(n)
    for n in want(
        NotificationPage,
        list_my_notifications.sync_detailed(
            client=mine, filter_="groupName eq 'odd' and readState eq false", orderby=ListMyNotificationsOrderby.CREATIONDATETIME_ASC
        ),
    ).value
]
seen["even"] = want(str, count_my_notifications.sync_detailed(client=mine, filter_="groupName eq 'even'"))
some = want(NotificationPage, list_my_notifications.sync_detailed(client=mine, select="readState,groupName", top=1)).value[0]
seen["selected"] = [some.group_name, some.read_state, some.payload is UNSET]

whole, link = delta(None)
seen["whole"] = [label(e) for e in whole]
first = whole[0]
assert isinstance(first, SelectedNotification) and not isinstance(first.id, Unset) and isinstance(first.odata_etag, str)

read = want(Notification, patch_my_notification.sync_detailed(first.id, client=mine, body=StateChange(read_state=True), if_match=first.odata_etag))
seen["patched"] = [read.read_state, read.odata_etag != first.odata_etag]
dismissal = StateChange(user_action_state=StateChangeUserActionStateType0.DISMISSED)
try:  # with the ETag from before
    want(Notification, patch_my_notification.sync_detailed(first.id, client=mine, body=dismissal, if_match=first.odata_etag))
except Refused as e:
    assert e.error.code is ErrorCode.PRECONDITIONFAILED
    seen["stale"] = e.status
now = want(SelectedNotification, get_my_notification.sync_detailed(first.id, client=mine))
assert isinstance(now.odata_etag, str)
dismissed = want(Notification, patch_my_notification.sync_detailed(first.id, client=mine, body=dismissal, if_match=now.odata_etag))
seen["dismissed"] = dismissed.user_action_state is UserActionState.DISMISSED

keyed = want(SelectedNotification, get_my_notification_by_key.sync_detailed("n''2", client=mine))
assert not isinstance(keyed.id, Unset)
seen["keyed"] = title(keyed)
gone = delete_my_notification.sync_detailed(keyed.id, client=mine)
seen["delete"] = gone.status_code
changes, link = delta(link, gone.headers["ReadWriteConsistencyToken"])
seen["after"] = [label(e) for e in changes]
seen["rest"] = [label(e) for e in delta(link)[0]]

# A server sends to the user whose key it has, and asks what became of it.
sent = send_notification.sync_detailed(USER, client=app, body=note(6))
told = list_deliveries.sync_detailed(
    USER, want(Notification, sent).id, client=app, read_write_consistency_token=sent.headers["ReadWriteConsistencyToken"]
)
seen["deliveries"] = sorted(d.platform for d in want(Deliveries, told).deliveries)

seen["errors"] = [
    refusal(lambda: want(NotificationPage, list_my_notifications.sync_detailed(client=mine, filter_="title eq 'x'"))),
    refusal(lambda: want(NotificationPage, list_my_notifications.sync_detailed(client=mine, host="other.localhost"))),
    refusal(lambda: want(SelectedNotification, get_my_notification.sync_detailed(keyed.id, client=mine))),  # type: ignore[arg-type]
    refusal(lambda: want(Notification, send_notification.sync_detailed(USER, client=mine, body=NewNotification(target_host_name=HOST, payload=Payload())))),
]
print(json.dumps(seen, separators=(",", ":")))
