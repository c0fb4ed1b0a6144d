package defender

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// huntTable is a table of process events as wide and as long as they are: its
// rows are the same few, over and over.
type huntTable struct{ head, rows, tail []byte }

const huntTableRows = 500

func newHuntTable() huntTable {
	columns := []HuntColumn{{"Timestamp", "DateTime"}, {"DeviceId", "String"}, {"DeviceName", "String"}, {"ActionType", "String"},
		{"FileName", "String"}, {"FolderPath", "String"}, {"SHA1", "String"}, {"SHA256", "String"}, {"MD5", "String"}, {"FileSize", "Int64"},
		{"ProcessId", "Int64"}, {"ProcessCommandLine", "String"}, {"ProcessCreationTime", "DateTime"}, {"AccountDomain", "String"},
		{"AccountName", "String"}, {"AccountSid", "String"}, {"LogonId", "Int64"}, {"InitiatingProcessFileName", "String"},
		{"InitiatingProcessCommandLine", "String"}, {"InitiatingProcessFolderPath", "String"}, {"InitiatingProcessId", "Int64"},
		{"LogonID", "Int64"}, {"AdditionalFields", "Object"}, {"ReportId", "Int64"}}
	var schema, rows bytes.Buffer
	for i, c := range columns {
		fmt.Fprintf(&schema, `%.*s{"name":%q,"type":%q}`, min(i, 1), ",", c.Name, c.Type)
	}
	for i := range huntTableRows {
		rows.WriteString(`,{`)
		for j, c := range columns {
			fmt.Fprintf(&rows, `%.*s%q:%s`, min(j, 1), ",", c.Name, huntValue(c, i))
		}
		rows.WriteString(`}`)
	}
	return huntTable{
		head: []byte(`{"@odata.context":"https://graph.example/v1.0/$metadata","schema":[` + schema.String() + `],"results":[`),
		rows: rows.Bytes(), tail: []byte(`]}`),
	}
}

func huntValue(c HuntColumn, row int) string {
	switch {
	case c.Type == "Int64":
		return fmt.Sprint(int64(row) * 98_765_432_101)
	case c.Type == "DateTime":
		return fmt.Sprintf(`"2026-11-20T10:%02d:%02d.%07dZ"`, row/60%60, row%60, row)
	case c.Type == "Object":
		return fmt.Sprintf(`{"Signer":"Contoso \"Root\"","Depth":%d,"Flags":[true,null]}`, row)
	case c.Name == "SHA256", c.Name == "DeviceId":
		return fmt.Sprintf(`"%064x"`, row*7919)
	case c.Name == "ProcessCommandLine", c.Name == "InitiatingProcessCommandLine":
		return fmt.Sprintf(`"\"C:\\Windows\\System32\\cmd.exe\" /c start /b wmic process call create \"agent-%d.exe --profile default --wait\" ä"`, row)
	case c.Name == "FolderPath", c.Name == "InitiatingProcessFolderPath":
		return fmt.Sprintf(`"C:\\Program Files\\Contoso\\Agent\\bin\\worker-%d.exe"`, row)
	case c.Name == "MD5":
		return `""`
	}
	return fmt.Sprintf(`"%s-%d.contoso.example"`, c.Name, row)
}

// body is an answer of about size bytes, which is never whole in memory, and its number of rows.
func (h huntTable) body(size int64) (io.Reader, int64) {
	times := max(1, size/int64(len(h.rows)))
	parts := []io.Reader{bytes.NewReader(h.head), bytes.NewReader(h.rows[1:])}
	for range times - 1 {
		parts = append(parts, bytes.NewReader(h.rows))
	}
	return io.MultiReader(append(parts, bytes.NewReader(h.tail))...), times * huntTableRows
}

// nowhere is a sink that keeps nothing.
type nowhere struct{ values int }

func (n *nowhere) Begin([]HuntColumn) error { return nil }
func (n *nowhere) Odd([]byte) error         { return nil }
func (n *nowhere) Row(values []jsontext.Value, _ []HuntMember) error {
	n.values += len(values)
	return nil
}

func BenchmarkHuntDecode(b *testing.B) {
	const size = 16 << 20
	body, rows := newHuntTable().body(size)
	plain, err := io.ReadAll(body)
	if err != nil {
		b.Fatal(err)
	}
	for encoding, served := range map[string]string{"identity": string(plain), "gzip": gzipped(string(plain))} {
		b.Run(encoding, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				answer, err := readHunt(reply(200, served, "Content-Encoding", encoding), 1<<30, new(nowhere))
				if err != nil || answer.Rows != rows {
					b.Fatalf("%+v, %v", answer, err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
