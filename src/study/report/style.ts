/** The report's style: plain, readable in light and dark, fit to print. */
export const style = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dde2e8; --card: #f6f8fa; --page: #fff; --a: #14657a; --b: #c2601c; --warn: #fff4dc; --warnline: #e0a92e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --soft: #98a3b1; --line: #343c47; --card: #1d232b; --page: #13171c; --a: #58b7cf; --b: #ef9a5c; --warn: #33290f; --warnline: #b58a2a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 66rem; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 2.6rem 0 0.8rem; font-size: 1.15rem; border-bottom: 1px solid var(--line); padding-bottom: 0.3rem; }
p { margin: 0.5rem 0; }
.lead { color: var(--soft); margin: 0.35rem 0 0; }
.tag { display: inline-block; padding: 0.05rem 0.55rem; border-radius: 1rem; background: var(--card); border: 1px solid var(--line); font-size: 0.82rem; color: var(--soft); }
.tag.synthetic { background: var(--warn); border-color: var(--warnline); color: var(--ink); font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: 0.8rem; margin: 1.6rem 0 0; }
.card { flex: 1 1 9rem; padding: 0.8rem 1rem; background: var(--card); border-radius: 0.6rem; }
.card b { display: block; font-size: 1.55rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 0.85rem; }
.note { margin: 1.2rem 0 0; padding: 0.6rem 1rem; background: var(--warn); border-left: 4px solid var(--warnline); border-radius: 0.3rem; }
.note p { margin: 0.15rem 0; }
.wide { overflow-x: auto; }
.wide + .wide { margin-top: 1rem; }
.lead + .wide { margin-top: 0.8rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 0.85rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text, th.text { text-align: left; }
td.words { text-align: left; white-space: normal; }
tr.overall td { font-weight: 650; }
tr.baseline td { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1.4rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: 0.4rem 0; padding-left: 1.2rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; }
figcaption { font-size: 0.88rem; color: var(--soft); }
.key { margin-left: 0.9rem; color: var(--ink); }
.key::before { content: ""; display: inline-block; width: 1.1rem; height: 0.2rem; margin-right: 0.35rem; vertical-align: middle; border-radius: 1px; }
.key.line-0::before { background: var(--a); }
.key.line-1::before { background: var(--b); }
svg { display: block; width: 100%; height: auto; }
svg .grid { stroke: var(--line); }
svg .tick { fill: var(--soft); font-size: 11px; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg path.line-0 { stroke: var(--a); }
svg path.line-1 { stroke: var(--b); }
svg .dot.line-0 { fill: var(--a); }
svg .dot.line-1 { fill: var(--b); }
svg .mark { stroke: var(--soft); stroke-dasharray: 3 4; }
svg.interval { width: 7.5rem; min-width: 7.5rem; }
svg .span { stroke: var(--a); stroke-width: 3; stroke-linecap: round; }
svg .point { fill: var(--a); }
.strip { display: grid; gap: 0.35rem; width: max-content; }
.strip div { display: flex; gap: 0.35rem; align-items: center; }
.strip img { width: 6.2rem; height: 6.2rem; object-fit: contain; background: #000; border-radius: 0.25rem; image-rendering: pixelated; }
.strip img.original { margin-right: 0.9rem; image-rendering: auto; }
.strip span { width: 6.2rem; font-size: 0.78rem; color: var(--soft); text-align: center; }
.strip span.original { margin-right: 0.9rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.85rem; }
@media print { body { max-width: none; padding: 0; } h2 { break-after: avoid; } figure, table, .strip { break-inside: avoid; } }
`;
