package client_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/client"
)

// The bodies of these functions stand in the guides of docs, without their first
// indentation: TestGuides holds them to each other, the compiler checks them.

func sendOne(ctx context.Context, token func(context.Context) (string, error)) error {
	c, err := client.New("https://carillon.example.com", client.Options{Token: token})
	if err != nil {
		return err
	}
	item, err := c.Sender().Send(ctx, client.To{UserID: "ex.alice"}, &client.Notification{
		TargetHostName: "news.example.com",
		Payload:        client.Payload{VisualContent: &client.Visual{Title: "Dinner is ready"}},
	}, "dinner-2026-11-26")
	if err != nil {
		return err
	}
	fmt.Println(item.ID)
	return nil
}

func sendMany(ctx context.Context, sender *client.Sender, orders []struct{ Customer, Number string }) {
	lines := func(yield func(client.Line) bool) { // drawn as they are sent
		for _, order := range orders {
			line := client.Line{To: client.To{UserID: order.Customer}, Key: "shipped-" + order.Number}
			line.TargetHostName = "news.example.com"
			line.Payload.VisualContent = &client.Visual{Title: "Order " + order.Number + " is on its way"}
			if !yield(line) {
				return
			}
		}
	}
	for result := range sender.Bulk(ctx, lines) {
		if result.Err != nil {
			fmt.Println(result.Key, result.Err) // it was repeated as often as that helps
		}
	}
}

func sendToAll(ctx context.Context, sender *client.Sender, db *sql.DB) error {
	broadcast := &client.NewBroadcast{Key: "launch-day"}
	broadcast.Notification.TargetHostName = "news.example.com"
	broadcast.Notification.Payload.VisualContent = &client.Visual{Title: "We are open"}
	status, err := sender.Broadcast(ctx, broadcast, func(yield func(userID string) bool) error {
		rows, err := db.QueryContext(ctx, "SELECT user_key FROM customers")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() { // as fast as the gateway takes them
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if !yield(id) {
				break
			}
		}
		return rows.Err()
	})
	if err != nil {
		return err // what is journalled stays; the same again completes it
	}
	fmt.Println(status.ID, status.Accepted)
	return nil
}

// TestGuides: each Go block of the guides is compiled here.
func TestGuides(t *testing.T) {
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	guides, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range guides {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(text), "\n```") {
			body, ok := strings.CutPrefix(part, "go\n")
			if i%2 == 0 || !ok || strings.HasPrefix(body, "// ring_test.go\n") { // that one is a file, which the guide's test runs
				continue
			}
			found++
			if want := "\t" + strings.ReplaceAll(strings.ReplaceAll(body, "\n", "\n\t"), "\n\t\n", "\n\n"); !strings.Contains(string(source), want) {
				t.Errorf("%s: this block is no example of guide_test.go:\n%s", filepath.Base(file), body)
			}
		}
	}
	if found < 3 {
		t.Errorf("%d Go blocks in the guides", found)
	}
	_, _, _ = sendOne, sendMany, sendToAll
}
