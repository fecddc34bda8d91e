package reports

import (
	"testing"

	"parley/store/storetest"
)

// Every statement is keyed, also while the tables are too young to have statistics.
func TestStatements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.user("ann", "member"), b.user("ben", "member")
	id := b.group(ann, ben)
	for range 50 {
		b.report(ben, id, b.send(ann, id, "x"))
	}
	statements := map[string]string{
		"insertReport": insertReport, "selectAbout": selectAbout, "updateDecided": updateDecided, "selectNews": selectNews, "countOpen": countOpen,
		"deleteDecided": deleteDecided, "selectOpen": selectOpen, "selectClosed": selectClosed, "selectMine": selectMine, "selectContext": selectContext, "eraseTexts": eraseTexts,
	}
	storetest.Statements(t, b.db, statements)
	b.exec(`ANALYZE`)
	storetest.Statements(t, b.db, statements)
}
