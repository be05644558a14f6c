//! Codes as pictures: QR codes are written as PNG, SVG or characters of a terminal, and read from photographs (PNG, JPEG).

use std::io::Cursor;

use image::{GrayImage, ImageFormat, ImageReader, Limits, Luma};
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};

use super::TEXT_BYTES_MAX;

/// The largest picture that is read, in bytes.
pub const PICTURE_BYTES_MAX: usize = 16 << 20;
/// The widest and highest picture that is read, in pixels.
pub const PICTURE_SIDE_MAX: u32 = 8192;
/// Memory that reading a picture may take.
const DECODER_BYTES_MAX: u64 = 256 << 20;
/// Pixels of a module's side in a PNG.
const MODULE_PIXELS: usize = 8;
/// Modules of white around a code (ISO/IEC 18004).
const QUIET_MODULES: usize = 4;
/// The most codes of one picture that are looked at.
const CODES_MAX: usize = 8;

/// Says why a picture is not written or read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// More text than a QR code of this kind holds.
    #[error("the text does not fit a QR code: {0}")]
    Text(String),
    /// More bytes than are read.
    #[error("a picture has at most {PICTURE_BYTES_MAX} bytes, this one has {actual}")]
    TooLarge {
        /// Its length in bytes.
        actual: usize,
    },
    /// Neither PNG nor JPEG, or a damaged one.
    #[error("the picture cannot be read as PNG or JPEG: {0}")]
    Picture(String),
    /// No code in it that can be read.
    #[error("there is no QR code in the picture that can be read")]
    NoCode,
    /// Several codes that differ.
    #[error("there are {0} different QR codes in the picture: show one at a time")]
    Several(usize),
}

/// A code laid out as a QR code with error correction level M.
pub struct Picture(QrCode);

impl Picture {
    /// Lays a text out.
    ///
    /// # Errors
    /// It does not fit.
    pub fn of(text: &str) -> Result<Self, PictureError> {
        QrCode::with_error_correction_level(text, EcLevel::M)
            .map(Self)
            .map_err(|problem| PictureError::Text(problem.to_string()))
    }

    /// Returns the number of modules on a side, without the white around.
    pub fn modules(&self) -> usize {
        self.0.width()
    }

    /// Writes a PNG of 8 pixels a module, with the white that the standard wants around it.
    ///
    /// # Errors
    /// The encoder fails.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        let (modules, colors) = (self.modules(), self.0.to_colors());
        let side = u32::try_from((modules + 2 * QUIET_MODULES) * MODULE_PIXELS).unwrap_or(PICTURE_SIDE_MAX);
        let pixel = |x: u32, y: u32| {
            let module = |at: u32| (usize::try_from(at).unwrap_or(0) / MODULE_PIXELS).checked_sub(QUIET_MODULES);
            match (module(x), module(y)) {
                (Some(x), Some(y)) if x < modules && y < modules => {
                    colors[y * modules + x].select(Luma([0_u8]), Luma([255]))
                }
                _ => Luma([255]),
            }
        };
        let mut png = Vec::new();
        GrayImage::from_fn(side, side, pixel)
            .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
            .map_err(|problem| PictureError::Picture(problem.to_string()))?;
        Ok(png)
    }

    /// Writes an SVG.
    pub fn svg(&self) -> String {
        self.0.render::<svg::Color<'_>>().module_dimensions(8, 8).build()
    }

    /// Writes lines of block characters, dark on light, for a terminal.
    pub fn terminal(&self) -> String {
        let mut lines = self.0.render::<unicode::Dense1x2>();
        lines.dark_color(unicode::Dense1x2::Light).light_color(unicode::Dense1x2::Dark).build()
    }
}

/// Reads the one text that the QR codes of a photograph hold.
///
/// # Errors
/// No picture, none or several codes in it, or more than is read.
pub fn read(picture: &[u8]) -> Result<String, PictureError> {
    if picture.len() > PICTURE_BYTES_MAX {
        return Err(PictureError::TooLarge { actual: picture.len() });
    }
    let unreadable = |problem: &dyn std::fmt::Display| PictureError::Picture(problem.to_string());
    let mut limits = Limits::default();
    limits.max_image_width = Some(PICTURE_SIDE_MAX);
    limits.max_image_height = Some(PICTURE_SIDE_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format().map_err(|e| unreadable(&e))?;
    reader.limits(limits);
    let gray = reader.decode().map_err(|e| unreadable(&e))?.to_luma8();
    let (width, height) = (side(gray.width()), side(gray.height()));
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        gray.as_raw().get(y * width + x).copied().unwrap_or(u8::MAX)
    });
    let grids = prepared.detect_grids();
    let mut texts: Vec<String> = grids.iter().take(CODES_MAX).filter_map(|grid| Some(grid.decode().ok()?.1)).collect();
    texts.retain(|text| text.len() <= TEXT_BYTES_MAX);
    texts.sort();
    texts.dedup();
    match texts.len() {
        0 => Err(PictureError::NoCode),
        1 => texts.pop().ok_or(PictureError::NoCode),
        several => Err(PictureError::Several(several)),
    }
}

fn side(pixels: u32) -> usize {
    usize::try_from(pixels).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A safe code's characters, as many as one for `dock-1` has.
    fn text() -> String {
        format!("T1:{}", "0K$Z9 %A".repeat(27))
    }

    #[test]
    fn a_safe_code_is_a_picture_of_49_modules_and_comes_back() {
        let picture = Picture::of(&text()).unwrap();
        assert_eq!(picture.modules(), 49);
        assert_eq!(read(&picture.png().unwrap()).unwrap(), text());
    }

    #[test]
    fn a_photograph_of_it_comes_back_too() {
        let png = Picture::of(&text()).unwrap().png().unwrap();
        let straight = image::load_from_memory(&png).unwrap().to_luma8();
        // Dimmer, larger, askew and beside other things, as a camera sees it, and through JPEG.
        let mut photograph = GrayImage::from_pixel(900, 700, Luma([140]));
        for (x, y, pixel) in photograph.enumerate_pixels_mut() {
            let (left, top) = (f64::from(x) - 180.0, f64::from(y) - 60.0);
            let (across, down) = (left * 0.98 + top * 0.10, top * 0.98 - left * 0.10);
            if across >= 0.0 && down >= 0.0 && across < 456.0 && down < 456.0 {
                let at = |value: f64| (0_u32..456).rfind(|whole| f64::from(*whole) <= value).unwrap_or(0);
                *pixel = Luma([40 + straight.get_pixel(at(across), at(down)).0[0] / 2]);
            }
        }
        let mut jpeg = Vec::new();
        photograph.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
        assert_eq!(read(&jpeg).unwrap(), text());
    }

    #[test]
    fn no_picture_no_code_and_several_codes_are_told_apart() {
        assert!(matches!(read(b"no picture"), Err(PictureError::Picture(_))));
        let png = |image: &GrayImage| {
            let mut png = Vec::new();
            image.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
            png
        };
        assert!(matches!(read(&png(&GrayImage::from_pixel(100, 100, Luma([255])))), Err(PictureError::NoCode)));
        let draw = |text: &str| image::load_from_memory(&Picture::of(text).unwrap().png().unwrap()).unwrap().to_luma8();
        let mut both = GrayImage::from_pixel(700, 300, Luma([255]));
        image::imageops::replace(&mut both, &draw("one"), 0, 0);
        image::imageops::replace(&mut both, &draw("two"), 350, 0);
        assert!(matches!(read(&png(&both)), Err(PictureError::Several(2))));
        assert!(matches!(read(&vec![0; PICTURE_BYTES_MAX + 1]), Err(PictureError::TooLarge { .. })));
    }

    #[test]
    fn noise_and_cut_pictures_are_refused_without_a_panic() {
        let whole = Picture::of(&text()).unwrap().png().unwrap();
        for length in (0..whole.len()).step_by(37) {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        let mut state = 1_u64;
        for _ in 0..20 {
            let noise = GrayImage::from_fn(200, 150, |_, _| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                Luma([state.to_be_bytes()[0]])
            });
            let mut png = Vec::new();
            noise.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
            assert!(read(&png).is_err());
        }
    }

    #[test]
    fn drawings_are_of_the_same_modules() {
        let picture = Picture::of("one").unwrap();
        assert!(picture.svg().contains("<svg") && picture.svg().contains("viewBox"));
        assert_eq!(picture.terminal().lines().count(), (picture.modules() + 8).div_ceil(2));
        assert!(matches!(Picture::of(&"a".repeat(3000)), Err(PictureError::Text(_))));
    }
}
