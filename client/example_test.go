package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"carillon/client"
)

func ExampleSender_Send() {
	c, err := client.New("https://carillon.example.com", client.Options{
		Token: func(context.Context) (string, error) { return "an app token", nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	item, err := c.Sender().Send(context.Background(), client.To{UserID: "ex.alice"}, &client.Notification{
		TargetHostName: "news.example.com",
		Payload:        client.Payload{VisualContent: &client.Visual{Title: "Hello"}},
	}, "order-17-shipped")
	fmt.Println(item.ID, err)
}

// A broadcast is posted, slowed down, and taken back. The server here only
// answers as Carillon does.
func ExampleSender_Broadcast() {
	state := "running"
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s\n%s\n", r.Method, r.URL.Path, bytes.TrimSpace(body))
		if bytes.Contains(body, []byte("recall")) {
			state = "cancelled"
		}
		_, _ = fmt.Fprintf(w, `{"id":"3f7c","state":%q,"accepted":2}`, state)
	}))
	defer service.Close()
	c, err := client.New(service.URL, client.Options{
		Token: func(context.Context) (string, error) { return "an app token", nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, sender := context.Background(), c.Sender()
	b, err := sender.Broadcast(ctx, &client.NewBroadcast{Key: "launch-day", Notification: client.Notification{
		TargetHostName: "news.example.com",
		Payload:        client.Payload{VisualContent: &client.Visual{Title: "We are open"}},
	}}, client.UserIDs("ex.alice", "ex.bob"))
	if err == nil {
		_, err = sender.PaceBroadcast(ctx, b.ID, 100)
	}
	if err == nil {
		b, err = sender.RecallBroadcast(ctx, b.ID)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.State)
	// Output:
	// POST /api/v1/broadcasts
	// {"key":"launch-day","notification":{"targetHostName":"news.example.com","payload":{"visualContent":{"title":"We are open"}}}}
	// "ex.alice"
	// "ex.bob"
	// PATCH /api/v1/broadcasts/3f7c
	// {"maxPerSecond":100}
	// PATCH /api/v1/broadcasts/3f7c
	// {"recall":true}
	// cancelled
}

func ExampleDevice_ProcessPush() {
	var d *client.Device
	ours, changes, err := d.ProcessPush(context.Background(), []byte(`{"aps":{"alert":"of somebody else"}}`))
	for i := range changes {
		fmt.Println(changes[i].ID, changes[i].Decide())
	}
	fmt.Println(ours, err)
	// Output: false <nil>
}
