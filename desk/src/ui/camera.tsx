// The camera as a scanner.

import { useEffect, useRef, useState } from "preact/hooks";
import { scan } from "../lib/scan";
import { InputError } from "../rpc/error";
import { Busy, Problem } from "./parts";

const pauseMs = 120;

export function Camera({ found, stop }: { found(text: string): void; stop(): void }) {
  const video = useRef<HTMLVideoElement>(null);
  const [error, setError] = useState<Error>();
  const [seeing, setSeeing] = useState(false);

  useEffect(() => {
    let gone = false;
    let stream: MediaStream | undefined;
    const canvas = document.createElement("canvas");
    const watch = async () => {
      try {
        if (!navigator.mediaDevices?.getUserMedia) {
          throw new InputError("The browser gives its camera to https pages and to localhost alone.", "Open the desk over https, or choose a picture of the code instead.");
        }
        stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } }, audio: false });
        const element = video.current;
        if (gone || !element) return stream.getTracks().forEach((track) => track.stop());
        element.srcObject = stream;
        await element.play();
        setSeeing(true);
        while (!gone) {
          const text = await scan(element, canvas);
          if (text && !gone) return found(text);
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
      } catch (thrown) {
        if (!gone) setError(inWords(thrown));
      }
    };
    void watch();
    return () => {
      gone = true;
      stream?.getTracks().forEach((track) => track.stop());
    };
  }, []);

  if (error) return <Problem error={error} retry={stop} />;
  return (
    <>
      <div class="camera">
        <video ref={video} muted playsInline aria-label="What the camera sees" />
      </div>
      <Busy note={seeing ? "Hold the code before the camera …" : "Starting the camera …"} />
      <p>
        <button type="button" onClick={stop}>
          Stop the camera
        </button>
      </p>
    </>
  );
}

function inWords(thrown: unknown): Error {
  const name = thrown instanceof DOMException ? thrown.name : "";
  if (name === "NotAllowedError") return new InputError("The browser may not use the camera.", "Allow it beside the address, or choose a picture of the code instead.");
  if (name === "NotFoundError" || name === "OverconstrainedError") return new InputError("There is no camera here.", "Connect one, or choose a picture of the code instead.");
  if (name === "NotReadableError") return new InputError("Another program uses the camera.", "Close it, then try again.");
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
