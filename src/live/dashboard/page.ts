/** The page: made once per session, complete in itself. */
import { createHash } from "node:crypto";
import type { Session } from "../session.ts";

export function pageOf(_session: Session, proof: string): { text: string; policy: string } {
  const script = 'new EventSource("/api/events").onmessage=e=>{document.querySelector("pre").textContent=e.data}';
  const hash = createHash("sha256").update(script).digest("base64");
  return {
    text: `<!doctype html><meta name="dmn-proof" content="${proof}"><pre></pre><script>${script}</script>`,
    policy: `default-src 'none'; script-src 'sha256-${hash}'; connect-src 'self'`,
  };
}
