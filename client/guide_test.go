package client_test

import (
	"context"
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
	if found < 2 {
		t.Errorf("%d Go blocks in the guides", found)
	}
	_, _ = sendOne, sendMany
}
