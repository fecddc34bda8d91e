package store_test

import (
	"testing"

	"parley/store"
	"parley/store/storetest"
)

// A mistake in what news leads to costs that news alone: the replica hears the rest, from the
// same payload too. News that cannot be encoded is left out.
func TestBusPanics(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	heard := make(chan string, 100)
	receiver := newStation(t, url, func(s *station) {
		store.NewTopic(s.Bus, "poison", store.Same, func(k string, _ struct{}) {
			if k == "poison" {
				panic("poisoned news")
			}
			heard <- k
		})
	})
	var poison *store.Topic[string, struct{}]
	var strange *store.Topic[string, any]
	sender := newStation(t, url, func(s *station) {
		poison = store.NewTopic(s.Bus, "poison", store.Same, func(string, struct{}) {})
		strange = store.NewTopic(s.Bus, "strange", func(a, _ any) any { return a }, func(string, any) {})
	})
	strange.Tell("strange", func() {})
	for range 3 {
		poison.Tell("poison", struct{}{})
		poison.Tell("good", struct{}{})
		if got := <-heard; got != "good" {
			t.Errorf("heard %s", got)
		}
	}
	if n := receiver.db.Failures().Total("hear news of poison"); n == 0 {
		t.Error("the panic was not counted")
	}
	if n := sender.db.Failures().Total("encode news of strange"); n == 0 {
		t.Error("what cannot be encoded was not counted")
	}
	if receiver.db.Failures().Total("hear other replicas") > 0 {
		t.Error("the listener broke")
	}
}
