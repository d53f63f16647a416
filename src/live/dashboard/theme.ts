/**
 * The look of the dashboard: the report's ink, paper and hairlines (its palette, held equal by a test),
 * denser. Gains are blue and losses orange, and always carry a sign; states carry a word. Fonts are the
 * system's.
 */
type Name = "paper" | "wash" | "ink" | "muted" | "rule" | "strategy" | "benchmark" | "loss" | "warn" | "good"
  | "other";
type Palette = Readonly<Record<Name, string>>;

export const LIGHT: Palette = { paper: "#ffffff", wash: "#f4f6f8", ink: "#15202b", muted: "#566270",
  rule: "#dde2e8",
  strategy: "#0a5fb4", benchmark: "#b35900", loss: "#c2410c", warn: "#fdeecb", good: "#00785c",
    other: "#8a3ea8" };
export const DARK: Palette = { paper: "#0f1419", wash: "#182029", ink: "#e6ebf0", muted: "#9aa7b4",
  rule: "#2a343f",
  strategy: "#62b1ff", benchmark: "#f0a24a", loss: "#ff8d5f", warn: "#3d3113", good: "#43cfa2",
    other: "#cd9ae8" };

const variables = (palette: Palette): string =>
  Object.entries(palette).map(([name, value]) => `--${name}:${value}`).join(";");

const GROUND = `
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:4.5rem}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:break-word}
main,.masthead,.bar>div,footer,#gone{max-width:1280px;margin:0 auto;padding-left:24px;padding-right:24px}
h1{font-size:1.45rem;line-height:1.2;letter-spacing:-.015em;margin:0;font-weight:650}
h2{font-size:1rem;margin:0;font-weight:650;letter-spacing:-.005em}
p{margin:0}
button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer}
button:disabled{cursor:default;opacity:.4}
[hidden]{display:none!important}
:focus-visible{outline:2px solid var(--strategy);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-999px}
.skip:focus{left:8px;top:8px;background:var(--paper);padding:6px 10px;z-index:9}
.gain{color:var(--strategy)}.loss{color:var(--loss)}.quiet{color:var(--muted)}.strong{font-weight:600}
.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.92em}
.nothing{color:var(--muted);padding:18px 0;font-size:.9rem}
`;

const HEADER = `
.masthead{padding-top:20px;padding-bottom:14px;display:flex;flex-wrap:wrap;align-items:baseline;gap:4px 14px}
.masthead .facts{color:var(--muted);font-size:.88rem}
.venue{font-size:.72rem;font-weight:700;letter-spacing:.07em;border:1px solid var(--muted);color:var(--muted);
border-radius:4px;padding:1px 8px;align-self:center}
.venue.real{color:var(--paper);background:var(--loss);border-color:var(--loss)}
.bar{position:sticky;top:0;z-index:5;background:var(--paper);border-bottom:1px solid var(--rule);
border-top:1px solid var(--rule)}
.bar>div{display:flex;align-items:center;gap:10px 14px;padding-top:9px;padding-bottom:9px;min-height:54px}
.pill{font-size:.8rem;font-weight:700;letter-spacing:.06em;border-radius:99px;padding:3px 13px 3px 10px;
display:inline-flex;align-items:center;gap:8px;border:1.5px solid var(--muted);color:var(--muted);
white-space:nowrap}
.pill::before{content:"";width:9px;height:9px;border-radius:50%;background:currentColor}
.pill.active{color:var(--good);border-color:var(--good)}
.pill.reducing{color:var(--benchmark);border-color:var(--benchmark)}
.pill.reducing::before{background:linear-gradient(90deg,currentColor 50%,transparent 50%);
box-shadow:inset 0 0 0 1.5px currentColor}
.pill.halted{color:var(--paper);background:var(--loss);border-color:var(--loss)}
.pill.halted::before{border-radius:1px}
#reason{color:var(--muted);font-size:.88rem;flex:1;min-width:0;overflow:hidden;text-overflow:ellipsis;
white-space:nowrap}
.link{font-size:.84rem;color:var(--muted);display:inline-flex;align-items:center;gap:6px;white-space:nowrap}
.link::before{content:"";width:8px;height:8px;border-radius:50%;background:var(--muted)}
.link.on::before{background:var(--good);animation:beat 2s ease-in-out infinite}
.link.off{color:var(--loss);font-weight:600}.link.off::before{background:var(--loss)}
@keyframes beat{50%{opacity:.35}}
#clock{font-size:.84rem;color:var(--muted);white-space:nowrap}
.actions{display:flex;gap:8px}
.actions button,dialog button,.theme{border:1px solid var(--rule);border-radius:7px;padding:5px 13px;
font-size:.88rem;
white-space:nowrap}
.actions button:hover:enabled,dialog button:hover,.theme:hover{border-color:var(--muted)}
.theme[aria-pressed=true]{background:var(--wash)}
.actions .danger,dialog .danger{background:var(--loss);border-color:var(--loss);color:var(--paper);
font-weight:600}
.actions .danger:hover:enabled,dialog .danger:hover{filter:brightness(1.08);border-color:var(--loss)}
dialog .primary{background:var(--ink);border-color:var(--ink);color:var(--paper);font-weight:600}
#gone{background:var(--warn);padding-top:11px;padding-bottom:11px;font-size:.92rem;
border-left:4px solid var(--loss);
margin-top:14px;max-width:1232px}
.told{font-size:.88rem;color:var(--muted);padding-top:8px;min-height:0}.told:empty{display:none}
.told.bad{color:var(--loss)}
.stale main{opacity:.5;filter:grayscale(.8)}
dialog{border:1px solid var(--rule);border-radius:12px;background:var(--paper);color:var(--ink);
padding:22px 24px;
max-width:min(430px,calc(100vw - 32px));box-shadow:0 18px 60px rgb(0 0 0/.28)}
dialog::backdrop{background:rgb(8 12 18/.5)}
dialog p{margin:8px 0 0;color:var(--muted)}
dialog label{display:flex;gap:9px;align-items:baseline;margin-top:14px}
dialog .choices{display:flex;justify-content:flex-end;gap:10px;margin-top:20px}
dialog button{padding:7px 16px}
`;

const MAIN = `
main>section,.two>section{border-top:1px solid var(--rule);padding:20px 0 24px;min-width:0}
main>section:first-child{border-top:0}
.two{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 44px}
.two.wide{grid-template-columns:minmax(0,1.62fr) minmax(0,1fr)}
.head{display:flex;flex-wrap:wrap;align-items:baseline;justify-content:space-between;gap:2px 16px;
margin-bottom:6px}
.head .note{color:var(--muted);font-size:.84rem}
.tiles{display:grid;grid-template-columns:1.55fr repeat(6,minmax(0,1fr));margin:0 0 18px}
.tiles>div{padding-right:14px;min-width:0}
.tiles dt{color:var(--muted);font-size:.8rem;white-space:nowrap}
.tiles dd{margin:0;font-size:1.42rem;font-weight:600;letter-spacing:-.02em;line-height:1.35;
white-space:nowrap}
.tiles dd.versus{font-size:.8rem;font-weight:400;letter-spacing:0;color:var(--muted);overflow:hidden;
text-overflow:ellipsis}
.tiles dd.versus.loss{color:var(--loss)}
.tiles>div:first-child dd:nth-of-type(1){font-size:2.15rem;line-height:1.05;font-weight:650;padding:1px 0 3px}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:.84rem;color:var(--muted)}
.legend b{font-weight:600;color:var(--ink)}
.legend output{min-width:7.2em}
.choices-range{display:flex;gap:2px;font-size:.82rem}
.choices-range button{padding:2px 10px;border-radius:5px;color:var(--muted)}
.choices-range button[aria-pressed=true]{background:var(--wash);color:var(--ink);
box-shadow:inset 0 0 0 1px var(--rule)}
#plot{touch-action:pan-y;min-height:374px}
#plot svg{display:block}
#plot-empty{padding:40px 0;text-align:center;border:1px dashed var(--rule);border-radius:8px}
#plot-empty+#plot{min-height:0}
#plot-empty[hidden]+#plot{min-height:374px}
svg text{fill:var(--muted);font:12px system-ui,sans-serif;font-variant-numeric:tabular-nums}
svg .rule{stroke:var(--rule);stroke-width:1}
svg .start{stroke:var(--muted);stroke-width:1;stroke-dasharray:2 4}
svg .line{fill:none;stroke:var(--strategy);stroke-width:2;stroke-linejoin:round}
svg .area{fill:var(--strategy);opacity:.11}
svg .fall{fill:var(--loss);opacity:.2}
svg .fall-line{fill:none;stroke:var(--loss);stroke-width:1.2}
svg .pointer{stroke:var(--muted);stroke-width:1}
svg .dot{fill:var(--strategy);stroke:var(--paper);stroke-width:2}
`;

const TABLES = `
.scroll{overflow:auto;max-width:100%;max-height:372px}
#risk .scroll,#hops .scroll,#models .scroll{max-height:none}
table{border-collapse:collapse;width:100%;font-size:.87rem}
th,td{padding:4.5px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{padding-left:0;text-align:left}
th:last-child,td:last-child{padding-right:2px}
thead th{color:var(--muted);font-weight:500;font-size:.8rem;background:var(--paper);position:sticky;top:0;
z-index:1}
tbody th{font-weight:600;position:sticky;left:0;background:var(--paper)}
#orders tbody th,#fills tbody th{font-weight:400;color:var(--muted)}
th.text,td.text{text-align:left}
tbody tr:last-child>*{border-bottom:0}
tbody tr:hover>*{background:var(--wash)}
.moving{color:var(--strategy);font-weight:600}
.state{font-size:.82rem;white-space:nowrap}
.state.open{color:var(--strategy);font-weight:600}.state.done{color:var(--good)}
.state.bad,.state.critical,.state.lost{color:var(--loss);font-weight:600}
.state.warning,.state.late,.state.expected{color:var(--benchmark);font-weight:600}
.state.info,.state.stopped{color:var(--muted)}.state.healthy{color:var(--good)}
svg.gauge{width:100%;min-width:70px;height:7px;display:block}
svg.gauge .ground{fill:var(--rule)}svg.gauge .used{fill:var(--strategy)}
svg.gauge.near .used{fill:var(--benchmark)}svg.gauge.full .used{fill:var(--loss)}
svg.bullet{width:200px;height:16px;display:block;overflow:visible;margin-left:auto}
svg.bullet .range{stroke:var(--good);stroke-width:5;stroke-linecap:round;opacity:.45}
svg.bullet .middle{fill:var(--good)}
svg.bullet .aim{stroke:var(--muted);stroke-width:1.5}
svg.bullet .edge{stroke:var(--muted);stroke-width:1.5;stroke-dasharray:2 2}
svg.bullet.above-target .range{stroke:var(--benchmark)}svg.bullet.above-target .middle{fill:var(--benchmark)}
svg.bullet.above-maximum .range{stroke:var(--loss)}svg.bullet.above-maximum .middle{fill:var(--loss)}
svg.bullet.no-target .range{stroke:var(--muted)}svg.bullet.no-target .middle{fill:var(--muted)}
ul.plain{list-style:none;margin:0;padding:0;font-size:.88rem}
#risk-off{color:var(--muted);font-size:.82rem;margin-top:8px}
#risk-actions{color:var(--muted);font-size:.84rem;margin-top:6px}#risk-actions b{font-weight:600;
color:var(--ink)}
#process-list{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:0 28px}
#process-list li{display:grid;grid-template-columns:1fr auto;gap:0 10px;padding:6px 0;
border-bottom:1px solid var(--rule)}
#process-list .facts{grid-column:1/-1;color:var(--muted);font-size:.82rem}
#process-list b{font-weight:600}
#alert-list{max-height:340px;overflow:auto}
#alert-list li{display:grid;grid-template-columns:auto auto minmax(0,1fr);gap:0 12px;padding:7px 0;
border-bottom:1px solid var(--rule);align-items:baseline}
#alert-list li:last-child,#process-list li:last-child{border-bottom:0}
#alert-list .what{grid-column:1/-1}#alert-list .who{text-align:right}
#alert-list .when,#alert-list .who{color:var(--muted);font-size:.82rem}
footer{color:var(--muted);font-size:.82rem;padding-top:18px;padding-bottom:36px;
border-top:1px solid var(--rule)}
`;

/** Columns that a phone goes without, so that no table has to be pushed sideways. */
function minorColumns(): string {
  const minor = { positions: [4, 5, 7], orders: [5], fills: [5], hops: [4, 5, 6, 8, 9],
    models: [3, 4, 6, 8, 9] };
  return Object.entries(minor).flatMap(([id, columns]) =>
    columns.map((column) => `#${id} tr>:nth-child(${column})`)).join(",\n");
}

const SMALL = `
@media(max-width:1060px){.two,.two.wide{grid-template-columns:minmax(0,1fr)}
.tiles{grid-template-columns:repeat(3,minmax(0,1fr));gap:14px 0}.tiles>div:first-child{grid-column:1/-1}}
@media(max-width:760px){main,.masthead,.bar>div,footer,#gone{padding-left:16px;padding-right:16px}
.masthead{padding-top:14px;padding-bottom:10px}h1{font-size:1.25rem}.masthead .facts{flex-basis:100%}
.bar{position:static;border-bottom:0}.bar>div{flex-wrap:wrap;min-height:0}
#reason{flex-basis:100%;order:3;white-space:normal}.link{margin-left:auto}.theme{display:none}
.actions{position:fixed;z-index:6;left:0;right:0;bottom:0;padding:10px 16px calc(10px
  + env(safe-area-inset-bottom));
background:var(--paper);border-top:1px solid var(--rule)}
.actions button{flex:1;padding:10px 6px}
.tiles{grid-template-columns:1fr 1fr}.tiles>div:first-child{grid-column:1/-1}
#plot,#plot-empty[hidden]+#plot{min-height:302px}
th,td{padding:6px 4px}tbody th{white-space:normal}.state{white-space:normal}
${minorColumns()}{display:none}
footer{padding-bottom:96px}}
@media(prefers-reduced-motion:reduce){.link.on::before{animation:none}}
`;

/** Everything, both themes: the system's choice, or the button's. */
export function styleSheet(): string {
  const dark = `color-scheme:dark;${variables(DARK)}`;
  return [`:root{color-scheme:light;${variables(LIGHT)}}`,
    `@media(prefers-color-scheme:dark){:root:not([data-theme=light]){${dark}}}`,
    `:root[data-theme=dark]{${dark}}`, GROUND, HEADER, MAIN, TABLES, SMALL].join("\n").trim();
}
