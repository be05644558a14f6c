// A time line.

import type { Step } from "../chain/timeline";
import { BlockLink, Moment, Tx } from "./parts";

const words = { done: "", now: "next", todo: "later", failed: "failed" };

export function Steps({ steps }: { steps: Step[] }) {
  return (
    <ol class="steps" aria-label="Time line">
      {steps.map(({ name, state, at, detail, tx, block }) => (
        <li key={name} class={state}>
          <div>
            <strong>{name}</strong> {words[state] && <span class="muted">({words[state]})</span>}
            <p class="when">
              {at !== undefined && <Moment at={at} />} {block !== undefined && <>· block <BlockLink at={block} /> </>}
              {tx && <>· <Tx hash={tx} /></>}
            </p>
            {detail && <p class={state === "failed" ? "wrong" : "when"}>{detail}</p>}
          </div>
        </li>
      ))}
    </ol>
  );
}
