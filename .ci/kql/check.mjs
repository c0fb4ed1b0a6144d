// Checks with Microsoft's own parser what is sent to the service: that a query
// means the same after the lines put before it, but for the window. Usage:
//
//   node check.mjs TEXTS TABLES
//
// TEXTS holds one JSON object a line, as TestTexts of sync/kql writes them;
// TABLES is the reference of the hunting tables and their columns.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const require = createRequire(import.meta.url)
require('@kusto/language-service-next/bridge.js')
require('@kusto/language-service-next')
const { Bridge, Kusto } = globalThis
const { GlobalState, KustoCode, Symbols, Syntax } = Kusto.Language

const [textsFile, tablesFile] = process.argv.slice(2)
const reference = JSON.parse(readFileSync(tablesFile, 'utf8'))
reference.GraphApiAuditEvents = reference.GraphAPIAuditEvents // documented in two spellings

const schema = Object.entries(reference).map(([name, { columns }]) =>
  Symbols.TableSymbol.From(`(${columns.map(([column, type]) => `['${column}']: ${type}`).join(', ')})`).WithName(name))
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('hunting', schema))

function list(sequence) {
  const items = []
  for (const e = Bridge.getEnumerator(sequence); e.moveNext();) items.push(e.Current)
  return items
}

const isTable = symbol => Bridge.is(symbol, Symbols.TableSymbol) && symbol.Name in reference

// Nodes of the tree that look at one row of their input at a time, and those
// besides operators that look at more.
const perRow = new Set(['FilterOperator', 'ExtendOperator', 'ProjectOperator', 'ProjectAwayOperator', 'ProjectKeepOperator',
  'ProjectRenameOperator', 'ProjectReorderOperator', 'ParseOperator', 'ParseWhereOperator', 'ParseKvOperator',
  'MvExpandOperator', 'MvApplyOperator', 'SortOperator', 'RenderOperator'])
const beyondRow = new Set(['ExternalDataExpression', 'MaterializeExpression', 'ToScalarExpression', 'ToTableExpression'])
const beyondRowFunctions = new Set(['row_number', 'prev', 'next', 'row_cumsum', 'row_rank_dense', 'row_window_session', 'rand', 'new_guid'])

const typeOf = node => Bridge.getTypeName(node).split('.').pop()

// analyze is what the parser understands of a text.
function analyze(text) {
  const code = KustoCode.ParseAndAnalyze(text, globals)
  const found = { errors: [], tables: [], variables: new Map(), patterns: 0, wide: new Set(), columns: '' }
  for (const d of list(code.GetDiagnostics())) {
    if (d.Severity === 'Error') found.errors.push({ at: d.Start, code: d.Code, message: d.Message })
  }
  let applies = 0
  Syntax.SyntaxElement.WalkNodes(code.Syntax, node => {
    const type = typeOf(node), symbol = node.ReferencedSymbol
    if (type === 'MvApplyOperator') applies++
    else if (!applies && (beyondRow.has(type) || /Operator$/.test(type) && !perRow.has(type))) found.wide.add(type)
    if (type === 'FunctionCallExpression' && beyondRowFunctions.has(node.Name?.SimpleName)) found.wide.add(node.Name.SimpleName)
    if (type !== 'NameReference') return
    if (isTable(symbol)) found.tables.push({ name: symbol.Name, at: node.TextStart })
    if (Bridge.is(symbol, Symbols.VariableSymbol)) found.variables.set(node.TextStart, symbol.Name)
    if (Bridge.is(symbol, Symbols.GroupSymbol) && list(symbol.Members).some(isTable)) found.patterns++
  }, node => { if (typeOf(node) === 'MvApplyOperator') applies-- })
  if (code.ResultType?.Columns) found.columns = list(code.ResultType.Columns).map(c => `${c.Name}: ${c.Type.Name}`).join(', ')
  return found
}

let failures = 0
function fail(id, what) {
  failures++
  console.error(`${id}: ${what}`)
}

const count = {
  queries: 0, wellFormed: 0, references: 0, windowed: 0, escaped: 0, sameColumns: 0, sameTables: 0,
  rowLocal: 0, events: 0, whole: 0,
}
const missed = [], unread = []

// checkWhole: a text of our own has no errors and reads the one table.
function checkWhole({ id, sent, tables }) {
  count.whole++
  const { errors, tables: read } = analyze(sent)
  for (const e of errors) fail(id, `${e.message} in ${JSON.stringify(sent)}`)
  if (read.length !== 1 || read[0].name !== tables[0]) fail(id, `reads ${JSON.stringify(read)}`)
}

// checkShadowed: a query of the user's own is what it was, and each of its
// tables that has a time is bound to the name that stands for the window.
function checkShadowed({ id, original, sent, tables, shadowed, unbounded, events }) {
  count.queries++
  const shift = sent.length - original.length
  if (!Buffer.from(sent).subarray(-Buffer.byteLength(original)).equals(Buffer.from(original))) fail(id, "does not end in the user's bytes")
  const before = analyze(original), after = analyze(sent)
  const wellFormed = before.errors.length === 0
  if (wellFormed) count.wellFormed++

  const old = new Set(before.errors.map(e => `${e.at + shift} ${e.code}`))
  for (const e of after.errors) if (!old.has(`${e.at} ${e.code}`)) fail(id, `a new error: ${e.message}`)

  for (const { name, at } of before.tables) {
    if (!reference[name].time) continue
    count.references++
    if (after.variables.get(at + shift) === name) count.windowed++
    else if (unbounded) count.escaped++
    else fail(id, `${name} at ${at} is not windowed`)
  }
  if (before.patterns > 0 && !unbounded) fail(id, 'a pattern of tables escapes unnoticed')
  const timed = tables.filter(name => reference[name].time)
  if (timed.join() !== (shadowed ?? []).join()) fail(id, `shadows ${shadowed} of ${tables}`)

  if (!wellFormed) return
  checkTables(id, before, tables, unbounded)
  if (before.columns === after.columns) count.sameColumns++
  else fail(id, `its columns were ${before.columns}, now ${after.columns}`)
  checkRowLocal(id, before, events)
}

// checkTables compares the tables that are read with those that were found. One
// found too many, for a column of its name, costs a line that nothing uses.
function checkTables(id, before, tables, unbounded) {
  const read = new Set(before.tables.map(t => t.name))
  if ([...read].some(name => !tables.includes(name))) {
    if (!unbounded) fail(id, `reads ${[...read]}, but found were ${tables}`)
  } else if (tables.some(name => !read.has(name))) unread.push(id)
  else count.sameTables++
}

// checkRowLocal compares the proof with what the tree shows: one reference of
// one table with a time, and nothing that looks at more than a row.
function checkRowLocal(id, { tables, wide, patterns }, events) {
  const rowLocal = tables.length === 1 && reference[tables[0].name].time && wide.size === 0 && patterns === 0
  if (rowLocal) count.rowLocal++
  if (events) count.events++
  if (events && !rowLocal) fail(id, `is said to be row-local, but has ${[...wide]} and ${tables.length} references`)
  if (rowLocal && !events) missed.push(id)
}

for (const line of readFileSync(textsFile, 'utf8').split('\n')) {
  if (line === '') continue
  const text = JSON.parse(line)
  text.original === undefined ? checkWhole(text) : checkShadowed(text)
}
console.log(`${count.whole} texts of whole tables: no error
${count.queries} queries, ${count.wellFormed} of them without an error before
  no new error, the user's bytes at the end: ${count.queries}
  without an error before: same result columns ${count.sameColumns}, same tables ${count.sameTables}, one too many ${unread.length}
  references of tables with a time: ${count.references}; bound to the window ${count.windowed}, said to escape it ${count.escaped}
  row-local by the tree: ${count.rowLocal}; run as events ${count.events}, asked about ${missed.length}`)
for (const id of unread) console.log(`one table too many: ${id}`)
for (const id of missed) console.log(`asked about, though row-local by the tree: ${id}`)
if (failures > 0) {
  console.error(`${failures} failures`)
  process.exit(1)
}
if (count.queries === 0 || count.whole === 0) {
  console.error('nothing was checked')
  process.exit(1)
}
