/** What this page adds to backtest/page/theme.ts: surfaces, ranges, what is pointed at. */
export const TUNE_STYLE = `
[data-chart]{position:relative;margin-top:8px;touch-action:pan-y}
[data-chart] canvas{position:absolute;inset:0;width:100%;height:100%}
[data-chart] .over{pointer-events:none}
.many{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:24px 32px;
margin-top:14px}
.many figure+figure,.two>figure+figure{margin-top:0}
.many>figure{min-width:0;display:grid;grid-template-rows:auto minmax(1.35em,auto) auto;align-content:start}
.plot.history,.plot.volume,.plot.slice{height:190px}
.plot.parallel,.plot.curves{height:360px}
.plot.pair{height:420px}
.plot.parallel{cursor:crosshair}
.plot.matrix,.plot.pair{cursor:pointer}
.stack{margin-top:14px}
.two>figure:has(.pair),.two>figure.matrix{display:block}
.ranges{display:flex;flex-wrap:wrap;gap:10px 16px;align-items:end;margin-top:12px;font-size:.84rem}
.ranges fieldset{border:0;margin:0;padding:0;min-width:0}
.ranges legend{color:var(--muted);padding:0}
.ranges p{padding:4px 0}
input,select{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--muted);
border-radius:5px;padding:3px 6px}
.ranges input{width:5.6em}
.ranges input+input{margin-left:4px}
.ranges button{padding:3px 10px;border:1px solid var(--muted);border-radius:6px;margin-left:8px}
.choose{font-size:.86rem;color:var(--muted)}
.choose select{color:var(--ink);max-width:60vw}
.chooses{display:flex;flex-wrap:wrap;gap:6px 16px}
.legend span{display:inline-flex;align-items:center;gap:6px}
.legend.marks svg{width:16px;height:16px;fill:none;stroke:var(--line);stroke-width:1.6}
.legend.marks svg .full{fill:var(--line);stroke:none}
.legend i.block{width:16px;height:10px;border:0;background:var(--line)}
.mark-front{--line:var(--strategy)}.mark-complete{--line:var(--gross)}.mark-pruned{--line:var(--benchmark)}
.mark-infeasible{--line:var(--loss)}.mark-none{--line:var(--muted)}.mark-preferred{--line:var(--other2)}
.picked{color:var(--other2);font-weight:600;font-size:.8rem;margin-left:6px}
code{font:.82rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;user-select:all}
#readout{position:fixed;left:0;right:0;bottom:0;z-index:6;background:var(--paper);
border-top:2px solid var(--ink);padding:8px max(20px,calc(50vw - 560px));font-size:.86rem;line-height:1.4;
max-height:34vh;overflow:auto}
#readout[hidden]{display:none}
#readout span{display:block}
#readout span:first-child{font-weight:650}
#readout span:last-child{color:var(--muted)}
@media(max-width:760px){.plot.pair{height:300px}.plot.curves{height:280px}
.ranges fieldset{flex:1 1 140px}.ranges input{width:calc(50% - 4px)}}
@media print{#readout,.ranges{display:none}}
`;
