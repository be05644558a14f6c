// Reading QR codes out of pictures: by the browser where it can, else by a decoder that is loaded then.

interface Detector {
  detect(source: CanvasImageSource): Promise<{ rawValue: string }[]>;
}

// Larger pictures are made smaller: a code is read from a fraction of a camera's pixels.
const sideMax = 1000;

let detector: Promise<Detector | null> | null = null;

function native(): Promise<Detector | null> {
  detector ??= (async () => {
    const Native = (globalThis as { BarcodeDetector?: { new (options: { formats: string[] }): Detector; getSupportedFormats(): Promise<string[]> } }).BarcodeDetector;
    try {
      return Native && (await Native.getSupportedFormats()).includes("qr_code") ? new Native({ formats: ["qr_code"] }) : null;
    } catch {
      return null;
    }
  })();
  return detector;
}

// The text of the code in a picture; `null` where there is none.
export async function scan(source: HTMLVideoElement | ImageBitmap, canvas: HTMLCanvasElement): Promise<string | null> {
  const [width, height] = source instanceof ImageBitmap ? [source.width, source.height] : [source.videoWidth, source.videoHeight];
  if (width === 0 || height === 0) return null;
  const found = await (await native())?.detect(source).catch(() => []);
  if (found?.[0]) return found[0].rawValue;
  const { default: decode } = await import("jsqr");
  const scale = Math.min(1, sideMax / Math.max(width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const paper = canvas.getContext("2d", { willReadFrequently: true });
  if (!paper) return null;
  paper.drawImage(source, 0, 0, canvas.width, canvas.height);
  const { data } = paper.getImageData(0, 0, canvas.width, canvas.height);
  return decode(data, canvas.width, canvas.height)?.data || null;
}

export async function scanFile(file: Blob): Promise<string | null> {
  const bitmap = await createImageBitmap(file);
  try {
    return await scan(bitmap, document.createElement("canvas"));
  } finally {
    bitmap.close();
  }
}
