package strictjson

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// sendData is what a message.send has.
type sendData struct {
	ConversationID uuid.UUID   `json:"conversation_id"`
	ClientID       uuid.UUID   `json:"client_id"`
	Body           string      `json:"body"`
	ReplyTo        int64       `json:"reply_to"`
	Mentions       []uuid.UUID `json:"mentions"`
}

// BenchmarkFrame reads a frame as the socket does: its members, then its data.
func BenchmarkFrame(b *testing.B) {
	for _, size := range []int{20, 16 << 10} {
		frame := []byte(`{"type":"message.send","id":"4","data":{"conversation_id":"019a0000-0000-7000-8000-000000000006","client_id":"019a0000-0000-7000-8000-000000000007","body":"` + strings.Repeat("a", size) + `"}}`)
		b.Run(fmt.Sprintf("%d bytes of text", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				members := [...]Member{{Name: "type"}, {Name: "id"}, {Name: "data"}}
				if _, err := Members(frame, members[:]); err != nil {
					b.Fatal(err)
				}
				var data sendData
				if err := Unmarshal(members[2].Value, &data); err != nil || len(data.Body) != size {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d bytes of text by encoding,json", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				var r struct {
					Type string          `json:"type"`
					ID   string          `json:"id"`
					Data json.RawMessage `json:"data"`
				}
				if err := json.Unmarshal(frame, &r); err != nil {
					b.Fatal(err)
				}
				d := json.NewDecoder(strings.NewReader(string(r.Data)))
				d.DisallowUnknownFields()
				var data sendData
				if err := d.Decode(&data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
