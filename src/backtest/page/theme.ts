/**
 * The look of the page: ink on paper, hairlines instead of boxes, one accent. Colours are told
 * apart by people who see no red or no green (blue against orange, then teal, purple, ochre); text
 * has a contrast of 4.5 or more on its ground in both themes (tested). Nothing here is loaded from
 * anywhere: fonts are the system's.
 */

interface Palette {
  readonly paper: string;
  readonly wash: string;
  readonly ink: string;
  readonly muted: string;
  readonly rule: string;
  readonly strategy: string;
  readonly benchmark: string;
  readonly gross: string;
  readonly target: string;
  readonly loss: string;
  readonly warn: string;
  readonly other1: string;
  readonly other2: string;
  readonly other3: string;
  readonly other4: string;
  readonly other5: string;
}

export const LIGHT: Palette = {
  paper: "#ffffff",
  wash: "#f4f6f8",
  ink: "#15202b",
  muted: "#566270",
  rule: "#dde2e8",
  strategy: "#0a5fb4",
  benchmark: "#b35900",
  gross: "#7fa8d1",
  target: "#6b7480",
  loss: "#c2410c",
  warn: "#fdeecb",
  other1: "#00785c",
  other2: "#8a3ea8",
  other3: "#7a6500",
  other4: "#b0316b",
  other5: "#3d5a80",
};

export const DARK: Palette = {
  paper: "#0f1419",
  wash: "#182029",
  ink: "#e6ebf0",
  muted: "#9aa7b4",
  rule: "#2a343f",
  strategy: "#62b1ff",
  benchmark: "#f0a24a",
  gross: "#3f7ab5",
  target: "#8b96a3",
  loss: "#ff8d5f",
  warn: "#3d3113",
  other1: "#43cfa2",
  other2: "#cd9ae8",
  other3: "#d4c04a",
  other4: "#f28ab8",
  other5: "#a9bfd8",
};

const variables = (palette: Palette): string =>
  Object.entries(palette)
    .map(([name, value]) => `--${name}:${value}`)
    .join(";");

/** Seven steps of each sign, strongest 46 %: the ink stays readable on every one. */
function heatSteps(): string {
  const steps: string[] = [];
  for (let step = 1; step <= 7; step++) {
    const share = Math.round(4 + 6 * step);
    steps.push(
      `.gain${step}{background:color-mix(in srgb,var(--strategy) ${share}%,var(--paper))}`,
    );
    steps.push(
      `.loss${step}{background:color-mix(in srgb,var(--benchmark) ${share}%,var(--paper))}`,
    );
  }
  return steps.join("\n");
}

function lineColors(): string {
  return (Object.keys(LIGHT) as (keyof Palette)[])
    .map((name) => `.c-${name}{--line:var(--${name})}`)
    .join("\n");
}

const GROUND = `
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth;scroll-padding-top:3.5rem}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:break-word}
main,.masthead,.bar>div{max-width:1160px;margin:0 auto;padding:0 20px}
h1{font-size:1.9rem;line-height:1.2;letter-spacing:-.015em;margin:0;font-weight:650}
h2{font-size:1.15rem;margin:0 0 .2rem;font-weight:650;letter-spacing:-.005em}
h3{font-size:.95rem;margin:0;font-weight:600}
p{margin:0}
a{color:inherit}
section{border-top:1px solid var(--rule);padding:28px 0 32px}
.top+.caption{margin-bottom:14px}
.top+.two{margin-top:12px}
.caption{color:var(--muted);font-size:.86rem;max-width:75ch}
.two{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:28px 40px}
.two>*{min-width:0}
button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer}
:focus-visible{outline:2px solid var(--strategy);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-999px}
.skip:focus{left:8px;top:8px;background:var(--paper);padding:6px 10px;z-index:9}
`;

const MASTHEAD = `
.masthead{padding-top:36px;padding-bottom:24px}
.kicker{color:var(--muted);font-size:.86rem;margin-bottom:4px}
.titles{display:flex;flex-wrap:wrap;align-items:center;gap:6px 14px}
.badge{font-size:.74rem;font-weight:700;letter-spacing:.06em;background:var(--warn);
border:1px solid var(--benchmark);
border-radius:4px;padding:2px 8px}
.facts{display:flex;flex-wrap:wrap;gap:2px 22px;margin:12px 0 0;padding:0;list-style:none;
font-size:.9rem}
.facts span{color:var(--muted)}
.sentence{font-size:1.08rem;margin-top:16px;max-width:72ch;text-wrap:pretty}
.alarm{border-left:3px solid var(--loss);padding:2px 0 2px 12px;margin-top:14px;max-width:72ch}
.tiles{display:grid;grid-template-columns:repeat(8,minmax(0,1fr));margin:24px 0 0;
border-top:2px solid var(--ink);
border-bottom:1px solid var(--rule)}
.tiles>div{padding:12px 12px 12px 0}
.tiles dt{color:var(--muted);font-size:.8rem;white-space:nowrap;overflow:hidden;
text-overflow:ellipsis}
.tiles dd{margin:0;font-size:1.5rem;font-weight:600;letter-spacing:-.02em;line-height:1.35}
.tiles dd.versus{font-size:.8rem;font-weight:400;letter-spacing:0;color:var(--muted)}
.tiles.small{grid-template-columns:repeat(7,minmax(0,1fr));border-top-width:1px;margin-top:26px}
.tiles.small dt{white-space:normal}
.tiles.small dd:first-of-type{font-size:1.2rem}
[title]:is(dt){cursor:help;text-decoration:underline dotted var(--rule);text-underline-offset:3px}
.bar{position:sticky;top:0;z-index:5;background:var(--paper);border-bottom:1px solid var(--rule);
border-top:1px solid var(--rule)}
.bar>div{display:flex;align-items:center;gap:18px}
.bar nav{display:flex;gap:18px;overflow-x:auto;white-space:nowrap;flex:1;font-size:.88rem;
scrollbar-width:none}
.bar nav a{text-decoration:none;color:var(--muted);padding:10px 0}
.bar nav a:hover{color:var(--ink)}
.bar button[aria-pressed=true]{background:var(--wash);border-color:var(--muted)}
.bar button{padding:4px 10px;border:1px solid var(--rule);border-radius:6px;font-size:.84rem;
white-space:nowrap}
.bar+main>section:first-child{border-top:0}
`;

const CHARTS = `
figure{margin:0;min-width:0}
figure+figure{margin-top:22px}
.two>figure{display:grid;grid-row:span 4;grid-template-rows:subgrid;row-gap:0;align-content:start}
.two>figure+figure{margin-top:0}
.head{display:flex;flex-wrap:wrap;align-items:baseline;justify-content:space-between;gap:4px 16px}
.choices{display:flex;gap:2px;font-size:.82rem}
.choices button{padding:3px 9px;border-radius:5px;color:var(--muted)}
.choices button[aria-pressed=true]{background:var(--wash);color:var(--ink);
box-shadow:inset 0 0 0 1px var(--rule)}
.legend{display:flex;flex-wrap:wrap;align-items:center;gap:2px 16px;font-size:.84rem;
margin:8px 0 4px;min-height:1.6em}
.legend output.moment{color:var(--muted);min-width:5.8em}
.legend button{display:inline-flex;align-items:center;gap:6px;max-width:100%;text-align:left}
.legend button[aria-pressed=false]{opacity:.55;text-decoration:line-through}
.legend b{font-weight:600}
.legend i{width:16px;height:0;border-top:2.5px solid var(--line);flex:none}
.legend i.dashed{border-top-style:dashed}
.plot{height:220px}
.plot.tall{height:340px}
.plot.none{height:auto;color:var(--muted);padding:30px 0;border:1px dashed var(--rule);
text-align:center;
border-radius:6px}
.u-cursor-x{border-color:var(--muted)!important}
.u-select{background:color-mix(in srgb,var(--strategy) 16%,transparent)!important}
.uplot{font:inherit}
svg.figure{display:block;width:100%;max-width:640px;height:auto;margin-top:10px}
svg text{fill:var(--muted);font:12px system-ui,sans-serif;font-variant-numeric:tabular-nums}
svg text.strong{fill:var(--ink);font-weight:600}
svg .rule{stroke:var(--rule);stroke-width:1}
svg .zero{stroke:var(--muted);stroke-width:1}
svg .mark{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:4 3}
svg .line{fill:none;stroke:var(--line);stroke-width:2}
svg .dot{fill:var(--line);stroke:var(--paper);stroke-width:1.5}
svg .up{fill:var(--strategy)}
svg .down{fill:var(--benchmark)}
svg .bar{fill:var(--strategy);opacity:.3}
h3.below{margin-top:26px}
`;

const TABLES = `
.scroll{overflow:auto;margin-top:12px;max-width:100%}
.scroll.long{max-height:520px}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{padding:5px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{padding-left:0}
thead th{color:var(--muted);font-weight:500;font-size:.82rem;vertical-align:bottom;
background:var(--paper);
white-space:normal;line-height:1.3}
tbody th,tfoot th,thead th:first-child{position:sticky;left:0;background:var(--paper);z-index:1}
.long thead th{position:sticky;top:0;z-index:2}
.long thead th:first-child{z-index:3}
thead button{text-align:inherit}
th.text,td.text{text-align:left}
td.wrap{white-space:normal;min-width:16rem}
tbody th{font-weight:600;text-align:left}
tfoot td,tfoot th{font-weight:650;border-top:2px solid var(--ink);border-bottom:0;text-align:right}
tfoot th{text-align:left}
tbody tr:hover td,tbody tr:hover th{background:var(--wash)}
thead button{color:var(--muted);font-weight:500}
thead button:hover{color:var(--ink)}
thead [aria-sort=ascending] button::after{content:" \\2191"}
thead [aria-sort=descending] button::after{content:" \\2193"}
td svg.share{display:inline-block;width:110px;height:10px;vertical-align:middle;margin-right:8px}
.swatch{display:inline-block;width:10px;height:10px;border-radius:2px;background:var(--line);
margin-right:7px}
.heat table{table-layout:fixed;min-width:760px;font-size:.82rem}
.heat td,.heat th{padding:3px 6px;border:1px solid var(--paper);text-align:right}
.heat th{text-align:left;width:3.6em}
.heat thead th{text-align:right}
.heat thead th:first-child{text-align:left}
.heat td.total{font-weight:650;border-left:10px solid var(--paper)}
.heat tbody tr:hover td{background:none}
.heat td.empty{color:var(--muted)}
.heat.names table{table-layout:auto;min-width:0;width:auto}
.heat.names th:first-child{width:auto;padding-right:12px}
details{margin-top:10px}
summary{cursor:pointer;font-weight:600}
ul.notes{margin:8px 0 0;padding-left:1.2em;max-width:80ch}
ul.notes li{margin:5px 0}
footer{color:var(--muted);font-size:.84rem;padding:22px 0 40px;border-top:1px solid var(--rule)}
`;

const SMALL = `
@media(max-width:1000px){.tiles{grid-template-columns:repeat(4,minmax(0,1fr))}
.tiles>div:nth-child(n+5){border-top:1px solid var(--rule)}
.tiles.small{grid-template-columns:repeat(4,minmax(0,1fr))}}
@media(max-width:760px){.two{grid-template-columns:minmax(0,1fr)}
main,.masthead,.bar>div{padding-left:16px;padding-right:16px}
.masthead{padding-top:24px}h1{font-size:1.5rem}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
.tiles>div:nth-child(n+3){border-top:1px solid var(--rule)}
.tiles.small{grid-template-columns:repeat(2,minmax(0,1fr))}
.plot.tall{height:260px}.plot{height:190px}
svg text{font-size:15px}#windows tbody th{white-space:normal}
#windows tbody th span{white-space:nowrap}
.choices button,.legend button{padding-top:6px;padding-bottom:6px}}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@media print{@page{margin:14mm}body{font-size:14px}.bar,.choices,.skip{display:none}
section{break-inside:avoid-page;padding:14px 0}.scroll,.scroll.long{overflow:visible;
max-height:none}
figure,tr{break-inside:avoid}
.plot,.plot.tall{height:auto}
.uplot,.uplot .u-wrap,.uplot canvas{width:100%!important;height:auto!important}
.u-over,.u-under{display:none}main,.masthead{max-width:none;padding:0}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}.heat table{min-width:0}}
`;

export function styleSheet(): string {
  const dark = `color-scheme:dark;${variables(DARK)}`;
  return [
    `:root{color-scheme:light;${variables(LIGHT)}}`,
    `@media(prefers-color-scheme:dark){:root:not([data-theme=light]){${dark}}}`,
    `:root[data-theme=dark]{${dark}}`,
    GROUND,
    MASTHEAD,
    CHARTS,
    TABLES,
    heatSteps(),
    lineColors(),
    SMALL,
    // Paper is white whatever the screen was; three times :root outweighs the rules above.
    `@media print{:root:root:root{color-scheme:light;${variables(LIGHT)}}}`,
  ]
    .join("\n")
    .trim();
}
