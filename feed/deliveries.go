package feed

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// deliveries answers GET /api/v1/users/{id}/notifications/{nid}/deliveries: why
// did it not arrive.
func (f *Feed) deliveries(r *httpapi.Request) error {
	u, err := f.caller(r, need{roles: []string{auth.RoleSend, auth.RoleReadAll}})
	if err != nil {
		return err
	}
	item, id, err := f.item(r, u)
	if err != nil {
		return err
	}
	sync, err := f.deps.Directory.Sync(u)
	if err != nil {
		return err
	}
	eps, err := f.deps.Directory.Endpoints(nil, u)
	if err != nil {
		return err
	}
	fates, err := fatesOf(u, item, eps, &sync, r.Now())
	if err != nil {
		return err
	}
	r.JSON(fasthttp.StatusOK, f.appendDeliveries(r.Scratch(), u, id, item, fates))
	return nil
}

// fatesOf is what became of an item at each of its user's endpoints.
func fatesOf(u carillon.User, item *carillon.Item, eps []carillon.Endpoint, sync *carillon.Sync, now int64) ([]carillon.Fate, error) {
	var note carillon.Notification
	if !item.State.Deleted {
		if err := journal.DecodeNotification(item.Body, &note); err != nil {
			return nil, fmt.Errorf("the row of %s at %s cannot be read: %w", u, item.Created, err)
		}
	}
	return carillon.Fates(item, &note, eps, sync, now), nil
}

// appendDeliveries writes what became of an item at each endpoint. Push
// addresses are not in it: they are secrets of the devices.
func (f *Feed) appendDeliveries(dst []byte, u carillon.User, id carillon.ID, item *carillon.Item, fates []carillon.Fate) []byte {
	dst = append(dst, `{"id":"`...)
	dst = id.Append(dst)
	dst = append(dst, `","targetHostName":`...)
	dst = httpapi.AppendString(dst, u.Host)
	dst = append(dst, `,"userId":`...)
	dst = httpapi.AppendString(dst, u.ID)
	dst = append(dst, `,"position":"`...)
	dst = append(dst, httpapi.EncodePosition(carillon.Position{Partition: item.Partition, Seq: item.Content})...)
	dst = append(dst, `","acceptedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Accepted)
	dst = append(dst, `,"journalledDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Journalled)
	dst = append(dst, `,"plannedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Planned)
	dst = append(dst, `,"expirationDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Expires)
	dst = append(dst, `,"readState":`...)
	dst = strconv.AppendBool(dst, item.State.Read)
	dst = append(dst, `,"userActionState":"`...)
	dst = append(dst, item.State.Action.String()...)
	dst = append(dst, `","changedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.State.Changed)
	if item.State.Deleted {
		dst = append(dst, `,"deleted":true`...)
	}
	switch {
	case item.Scheduled:
		dst = append(dst, `,"note":"it is scheduled: its endpoints are planned when its time (deliverAt) comes"`...)
	case len(item.Deliveries) == 0:
		dst = append(dst, `,"note":"no endpoint was to ring: the user had none, or none that the notification was meant for; it is history"`...)
	}
	dst = append(dst, `,"deliveries":[`...)
	left := 0
	for i := range fates {
		if fates[i].Delivery == nil {
			left++
			continue
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = f.appendFate(dst, u, item, &fates[i])
	}
	dst = append(dst, `],"notPlanned":[`...)
	for i := len(fates) - left; i < len(fates); i++ {
		if i > len(fates)-left {
			dst = append(dst, ',')
		}
		dst = appendLeftOut(dst, &fates[i])
	}
	return append(dst, "]}"...)
}

// appendFate writes what became of a delivery, and what its endpoint told.
func (f *Feed) appendFate(dst []byte, u carillon.User, item *carillon.Item, x *carillon.Fate) []byte {
	d := x.Delivery
	dst = appendOutcome(append(dst, '{'), d)
	dst = append(dst, `,"incarnation":"`...)
	dst = append(dst, httpapi.EncodePosition(carillon.Position{Partition: item.Partition, Seq: d.Incarnation})...)
	dst = append(dst, `","parkedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, d.Parked)
	dst = append(dst, `,"waits":`...)
	if hint := d.Hint; d.Outcome.Class.Terminal() || hint == carillon.HintNone {
		dst = append(dst, "null"...)
	} else {
		dst = append(append(append(dst, '"'), hint.String()...), '"')
		if hint == carillon.HintDue {
			dst = httpapi.AppendTime(append(dst, `,"nextAttemptDateTime":`...), d.Due)
		} else if why, until := f.deps.Lanes(carillon.Lane{Platform: d.Platform, Host: u.Host}); why != "" {
			dst = httpapi.AppendString(append(dst, `,"vendor":`...), why)
			dst = httpapi.AppendTime(append(dst, `,"nextAttemptDateTime":`...), until)
		}
	}
	dst = append(dst, `,"fetched":`...)
	dst = strconv.AppendBool(dst, x.Has)
	dst = append(dst, `,"fetchedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, x.Fetched)
	dst = append(dst, `,"openedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, d.Opened)
	dst = append(dst, `,"clear":`...)
	switch {
	case x.Owed:
		dst = append(dst, `"owed"`...)
	case x.Knows:
		dst = append(dst, `"cleared"`...)
	default:
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"clearedDateTime":`...)
	return append(httpapi.AppendTimeOrNull(dst, x.Cleared), '}')
}

// appendLeftOut writes why an endpoint was not to ring.
func appendLeftOut(dst []byte, x *carillon.Fate) []byte {
	dst = append(dst, `{"endpoint":`...)
	dst = httpapi.AppendString(dst, x.Endpoint.ID)
	dst = append(dst, `,"platform":"`...)
	dst = append(dst, x.Endpoint.Platform.String()...)
	dst = append(dst, `","reason":"`...)
	dst = append(dst, x.Why...)
	dst = append(dst, `","fetched":`...)
	dst = strconv.AppendBool(dst, x.Has)
	dst = append(dst, `,"fetchedDateTime":`...)
	return append(httpapi.AppendTimeOrNull(dst, x.Fetched), '}')
}

// appendOutcome writes what a delivery and a line of the outcomes have in
// common.
func appendOutcome(dst []byte, d *carillon.Delivery) []byte {
	dst = append(dst, `"endpoint":`...)
	dst = httpapi.AppendString(dst, d.Endpoint)
	dst = append(dst, `,"platform":"`...)
	dst = append(dst, d.Platform.String()...)
	dst = append(dst, `","kind":"`...)
	dst = append(dst, d.Kind.String()...)
	dst = append(dst, `","outcome":"`...)
	dst = append(dst, d.Outcome.Class.String()...)
	dst = append(dst, `","terminal":`...)
	dst = strconv.AppendBool(dst, d.Outcome.Class.Terminal())
	dst = append(dst, `,"reason":`...)
	if d.Outcome.Reason == "" {
		dst = append(dst, "null"...)
	} else {
		dst = httpapi.AppendString(dst, d.Outcome.Reason)
	}
	dst = append(dst, `,"status":`...)
	if d.Outcome.Status == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = httpapi.AppendInt(dst, d.Outcome.Status)
	}
	dst = append(dst, `,"attempts":`...)
	dst = httpapi.AppendInt(dst, d.Attempts)
	dst = append(dst, `,"handedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, d.Handed)
	dst = append(dst, `,"answeredDateTime":`...)
	return httpapi.AppendTimeOrNull(dst, d.Answered)
}
