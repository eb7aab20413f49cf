package carillon_test

import (
	"testing"

	"carillon"
)

func TestChooseCredential(t *testing.T) {
	sets := []carillon.Credential{
		{Set: "all", Environment: "production"},
		{Set: "game", Environment: "production", AppIDs: []string{"com.example.game"}},
		{Set: "dev", Environment: "sandbox"},
		{Set: "game-dev", Environment: "sandbox", AppIDs: []string{"com.example.game"}},
	}
	for _, tt := range []struct{ appID, environment, want string }{
		{"com.example.news", "", "all"},
		{"com.example.news", "production", "all"},
		{"com.example.news", "sandbox", "dev"},
		{"com.example.game", "", "game"},
		{"com.example.game", "sandbox", "game-dev"},
	} {
		e := &carillon.Endpoint{AppID: tt.appID, Environment: tt.environment}
		if got := sets[carillon.ChooseCredential(sets, e)].Set; got != tt.want {
			t.Errorf("%s, environment %q: the set %s, want %s", tt.appID, tt.environment, got, tt.want)
		}
	}
	named := []carillon.Credential{{Set: "a", AppIDs: []string{"a"}}, {Set: "b", AppIDs: []string{"b"}}}
	for appID, want := range map[string]string{"a": "a", "b": "b", "c": "a"} {
		if got := named[carillon.ChooseCredential(named, &carillon.Endpoint{AppID: appID})].Set; got != want {
			t.Errorf("%s: the set %s, want %s", appID, got, want)
		}
	}
}
