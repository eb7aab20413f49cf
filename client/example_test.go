package client_test

import (
	"context"
	"fmt"

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

func ExampleDevice_ProcessPush() {
	var d *client.Device
	ours, changes, err := d.ProcessPush(context.Background(), []byte(`{"aps":{"alert":"of somebody else"}}`))
	for i := range changes {
		fmt.Println(changes[i].ID, changes[i].Decide())
	}
	fmt.Println(ours, err)
	// Output: false <nil>
}
