// Pages that are loaded when they are opened.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { asError } from "../rpc/error";
import { Busy, Problem } from "./parts";

type Props = { parts: string[]; query: URLSearchParams };
export type PageComponent = ComponentType<Props>;

const loaded = new Map<() => Promise<unknown>, PageComponent>();

export function Lazy({ load, ...props }: Props & { load: () => Promise<{ default: PageComponent }> }) {
  const [, redraw] = useState(0);
  const [error, setError] = useState<Error>();
  const read = () => {
    setError(undefined);
    load().then(
      (module) => {
        loaded.set(load, module.default);
        redraw((turn) => turn + 1);
      },
      (thrown: unknown) => setError(asError(thrown)),
    );
  };
  useEffect(() => {
    setError(undefined);
    if (!loaded.has(load)) read();
  }, [load]);
  const Component = loaded.get(load);
  if (Component) return <Component {...props} />;
  // After an update of the node the page's old parts are gone; loading it again fetches the new ones.
  if (error) return <Problem error={new Error(`this part of the desk could not be loaded: ${error.message}`)} retry={() => location.reload()} />;
  return <Busy note="Opening the page …" />;
}
