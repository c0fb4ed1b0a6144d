package defendersim

// The caps that Microsoft publishes for one answer.
const (
	defaultHuntCap      = 100_000
	defaultHuntMaxBytes = 50_000_000
)

// HuntEncoding chooses among the ways a service might write what its
// documentation leaves open. The zero value is the likeliest.
type HuntEncoding struct {
	// BoolAs is how a true is written: "true" (also ""), the number "1", or
	// the text "True".
	BoolAs string
	// NaNAs is how a real that is no number is written: as the text "NaN",
	// "Infinity" or "-Infinity" (""), as "null", or "bare", which is no JSON.
	NaNAs string

	DynamicAsString      bool // JSON in a text, not nested
	DecimalAsString      bool // "1.10", not 1.10
	OmitNulls            bool // no key for a null; a string is never null
	AnnotateODataTypes   bool // Graph: "ReportId@odata.type":"#Int64" before each long
	CamelRowKeys         bool // Graph: "timestamp" in rows, "Timestamp" in the schema
	PascalSchemaOnGraph  bool // Graph: Name and Type in the schema's entries
	SchemaOrderedRowKeys bool // Graph: keys in the order of the schema, which it does not promise
}
