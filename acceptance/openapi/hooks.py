"""What the formats of the description stand for."""

import datetime
import os

import schemathesis
from hypothesis import strategies as st

LINK = "latest"
position = os.environ["CARILLON_POSITION"]
soon = st.integers(1, 29 * 24 * 3600).map(
    lambda s: (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60 + s)).strftime("%Y-%m-%dT%H:%M:%SZ")
)
comparison = st.sampled_from(
    ["readState eq false", "userActionState ne 'Dismissed'", "groupName eq null", "creationDateTime gt 2026-01-01T00:00:00Z", "status eq 'Active'"]
)

schemathesis.openapi.format("position", st.just(position))
schemathesis.openapi.format("subscription-id", st.just(os.environ["CARILLON_SUBSCRIPTION"]))
schemathesis.openapi.format("date-time", soon)  # of requests only: when it expires
schemathesis.openapi.format("odata-filter", st.lists(comparison, min_size=1, max_size=3).map(" and ".join))
schemathesis.openapi.format("link-token", st.just(LINK))
schemathesis.openapi.format("outcomes-position", st.just("latest"))
schemathesis.openapi.format("app-id", st.just(os.environ["CARILLON_APP_ID"]))
schemathesis.openapi.format("etag", st.just("*"))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leaves a valid $skiptoken out: it is part of a link, which is followed as it is, and stands beside no other option."""
    if (case.query or {}).get("$skiptoken") == LINK:
        del case.query["$skiptoken"]
    # A schema compares no two members: what is delivered, is delivered before it expires.
    if isinstance(case.body, dict) and isinstance(case.body.get("deliverAt"), str) and isinstance(case.body.get("expirationDateTime"), str):
        if case.body["deliverAt"] >= case.body["expirationDateTime"]:
            del case.body["deliverAt"]


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def bearer(name):
    """Sends the token that the environment has under a name."""

    class Token:
        def get(self, case, context):
            return os.environ[name]

        def set(self, case, data, context):
            case.headers = {**(case.headers or {}), "Authorization": "Bearer " + data}

    return Token


schemathesis.auth().apply_to(path_regex="/me/|batch")(bearer("CARILLON_USER"))
schemathesis.auth().apply_to(tag="Apps")(bearer("CARILLON_ADMIN"))
schemathesis.auth().skip_for(path_regex="/me/|batch").skip_for(tag="Apps")(bearer("CARILLON_APP"))
