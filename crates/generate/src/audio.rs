//! Audio to the spectra that Whisper reads, as `WhisperFeatureExtractor` of `transformers` computes them.

mod wav;

use crate::GenerateError;
use crate::files::folder;
use crate::settings::ConfigFile;
use hound::{SampleFormat, WavReader};
use netwright_verify::Array;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex;
use std::f64::consts::TAU;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// The largest audio file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// The largest number of samples, bins or frames that a configuration may ask for.
const MAX_SIZE: u64 = 1 << 24;

/// The largest product of two of them: the weights of the bins, the spectra, and the samples of all frames.
const MAX_PRODUCT: u64 = 1 << 26;

/// The largest number of products that the bins of all frames of a window take.
const MAX_WORK: u64 = 1 << 32;

/// The same for audio of several windows: more than two hours of audio for Whisper.
const MAX_LONG_WORK: u64 = 1 << 35;
/// The largest number of samples of audio of several windows, and of the numbers of its spectra.
const MAX_LONG_SIZE: usize = 1 << 27;

/// The highest frequency of the bins, in hertz.
const HIGHEST: f64 = 8000.0;

/// Turns audio into spectra on the mel scale, as `preprocessor_config.json` says.
#[derive(Clone, Debug)]
pub struct FeatureExtractor {
    rate: u32,
    /// The number of samples of the model's window.
    samples: usize,
    /// The number of samples of a frame, and from one frame to the next.
    frame: usize,
    hop: usize,
    /// The weights of the frequencies in each bin, `[bins][frequencies]`.
    bins: Vec<Vec<f64>>,
}

impl FeatureExtractor {
    /// Reads the configuration beside a model, which is a folder or a file.
    ///
    /// # Errors
    ///
    /// If there is none, or if it is invalid.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, GenerateError> {
        let path = folder(model.as_ref()).join("preprocessor_config.json");
        let Some(options) = ConfigFile::open(path.clone())? else {
            return Err(GenerateError::Audio {
                path,
                cause: "the configuration of the feature extractor is missing".to_owned(),
                help: "copy the file beside the model".to_owned(),
            });
        };
        let size = |name, default: u64| {
            let size = options.read(name, "a number from 1 to 2^24", |value| {
                value.as_u64().filter(|size| (1..=MAX_SIZE).contains(size))
            })?;
            Ok::<_, GenerateError>(size.unwrap_or(default))
        };
        let [rate, frame, hop, seconds, bins] = [
            size("sampling_rate", 16_000)?,
            size("n_fft", 400)?,
            size("hop_length", 160)?,
            size("chunk_length", 30)?,
            size("feature_size", 80)?,
        ];
        let samples = rate.saturating_mul(seconds);
        let refused = |cause| Err(GenerateError::Configuration { path: path.clone(), cause });
        if samples > MAX_SIZE || bins > frame || frame < 2 || frame > samples || hop > samples {
            return refused(format!(
                "{bins} bins of frames of {frame} samples, one every {hop} samples, do not fit {samples} samples\n  help: correct `feature_size`, \
                 `n_fft`, `hop_length`, `sampling_rate` or `chunk_length`"
            ));
        }
        let (frames, frequencies) = (samples / hop, frame / 2 + 1);
        let products = [bins * frequencies, bins * frames, frame * frames];
        let work = products[0].saturating_mul(frames);
        if products.iter().any(|product| *product > MAX_PRODUCT) || work > MAX_WORK {
            return refused(format!(
                "{bins} bins of {frames} frames of {frame} samples are too many\n  help: lower `feature_size`, `n_fft` or `chunk_length`"
            ));
        }
        let number = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let bins = mel_bins(number(bins), number(frequencies), f64::from(u32::try_from(rate).unwrap_or(u32::MAX)));
        Ok(Self {
            rate: u32::try_from(rate).unwrap_or(u32::MAX),
            samples: number(samples),
            frame: number(frame),
            hop: number(hop),
            bins,
        })
    }

    /// Reads a WAV file of one channel and the rate of the model; returns its spectra `[1, bins, frames]`. Audio that is
    /// shorter than the window of the model is extended by silence.
    ///
    /// # Errors
    ///
    /// If the file is not WAV, has another rate, several channels, no samples or one that is not finite, or is too long.
    pub fn features(&self, path: impl AsRef<Path>) -> Result<Array, GenerateError> {
        let path = path.as_ref();
        let samples = self.read(path)?;
        Ok(self.spectra(&samples)?)
    }

    fn read(&self, path: &Path) -> Result<Vec<f32>, GenerateError> {
        let name = path.display();
        let refused = |cause: String| GenerateError::Audio {
            path: PathBuf::from(path),
            cause,
            help: format!("convert it with `ffmpeg -i {name} -ac 1 -ar {} -c:a pcm_s16le OUTPUT.wav`", self.rate),
        };
        let invalid = |error: hound::Error| refused(format!("the file is not a WAV file that can be read: {error}"));
        let bytes = netwright_files::read_bytes(path, MAX_BYTES)?;
        let mut reader = WavReader::new(Cursor::new(wav::canonical(bytes))).map_err(invalid)?;
        let spec = reader.spec();
        if spec.sample_rate != self.rate {
            let (found, expected) = (spec.sample_rate, self.rate);
            return Err(refused(format!("the audio has {found} samples a second, but the model expects {expected}")));
        }
        if spec.channels != 1 {
            return Err(refused(format!("the audio has {} channels, but the model expects 1", spec.channels)));
        }
        if reader.len() as usize > self.most() {
            let (found, most) = (reader.len() / self.rate, self.most() / self.rate as usize);
            return Err(GenerateError::Audio {
                path: PathBuf::from(path),
                cause: format!("the audio lasts over {found} s, but at most {most} s are read"),
                help: format!("split it with `ffmpeg -i {name} -f segment -segment_time {most} OUTPUT%d.wav`"),
            });
        }
        let samples = match spec.sample_format {
            SampleFormat::Float => reader.samples::<f32>().collect(),
            SampleFormat::Int => {
                let scale = 2_f32.powi(i32::from(spec.bits_per_sample) - 1);
                #[expect(clippy::cast_precision_loss, reason = "spectra are computed of f32")]
                reader.samples::<i32>().map(|sample| sample.map(|sample| sample as f32 / scale)).collect()
            }
        };
        let samples: Result<Vec<f32>, hound::Error> = samples;
        let samples = samples.map_err(invalid)?;
        if samples.is_empty() {
            return Err(refused("the audio has no samples".to_owned()));
        }
        if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
            return Err(refused(format!("sample {at} is {}, not a finite number", samples[at])));
        }
        Ok(samples)
    }

    /// Returns the largest number of samples that are read.
    fn most(&self) -> usize {
        let bins = self.bins.len().max(1);
        let work = MAX_LONG_WORK / bins as u64 / (self.frame as u64 / 2 + 1);
        let frames = (MAX_LONG_SIZE / bins).min(usize::try_from(work).unwrap_or(usize::MAX));
        MAX_LONG_SIZE.min(frames.saturating_mul(self.hop)).max(self.samples)
    }

    fn spectra(&self, samples: &[f32]) -> Result<Array, netwright_verify::VerifyError> {
        let length = samples.len().max(self.samples);
        let frames = length / self.hop;
        let mut fft = RealFftPlanner::<f64>::new();
        let fft = fft.plan_fft_forward(self.frame);
        let (mut input, mut output) = (fft.make_input_vec(), fft.make_output_vec());
        #[expect(clippy::cast_precision_loss, reason = "frames are short")]
        let window: Vec<f64> =
            (0..self.frame).map(|at| 0.5 - 0.5 * (TAU * at as f64 / self.frame as f64).cos()).collect();
        // Frames are centered; before the first sample and after the last, samples are reflected.
        let sample = |at: usize| {
            let at = at.abs_diff(self.frame / 2);
            let at = if at < length { at } else { (2 * length - 2).saturating_sub(at) };
            samples.get(at).copied().map_or(0.0, f64::from)
        };
        let mut features = vec![0_f32; self.bins.len() * frames];
        for frame in 0..frames {
            for (at, place) in input.iter_mut().enumerate() {
                *place = window[at] * sample(frame * self.hop + at);
            }
            // The buffers have the lengths that the transform requires.
            if fft.process(&mut input, &mut output).is_err() {
                continue;
            }
            let powers: Vec<f64> = output.iter().map(Complex::norm_sqr).collect();
            for (bin, weights) in self.bins.iter().enumerate() {
                let sum: f64 = weights.iter().zip(&powers).map(|(weight, power)| weight * power).sum();
                #[expect(clippy::cast_possible_truncation, reason = "features are f32")]
                let logarithm = sum.max(1e-10).log10() as f32;
                features[bin * frames + frame] = logarithm;
            }
        }
        let least = features.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
        for value in &mut features {
            *value = (value.max(least) + 4.0) / 4.0;
        }
        Array::new([1, self.bins.len(), frames], features)
    }
}

/// Returns the weights of the frequencies in each bin: triangles on the mel scale of Slaney, with equal areas.
#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn mel_bins(bins: usize, frequencies: usize, rate: f64) -> Vec<Vec<f64>> {
    let step = 27.0 / 6.4_f64.ln();
    let to_mel = |hertz: f64| if hertz < 1000.0 { 3.0 * hertz / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * step };
    let to_hertz = |mel: f64| if mel < 15.0 { 200.0 * mel / 3.0 } else { 1000.0 * ((mel - 15.0) / step).exp() };
    let highest = to_mel(HIGHEST);
    let edge = |at: usize| to_hertz(highest * at as f64 / (bins + 1) as f64);
    let weights = |bin: usize| {
        let [low, center, high] = [edge(bin), edge(bin + 1), edge(bin + 2)];
        let weight = |at: usize| {
            let hertz = rate / 2.0 * at as f64 / (frequencies - 1) as f64;
            let triangle = ((hertz - low) / (center - low)).min((high - hertz) / (high - center));
            triangle.max(0.0) * 2.0 / (high - low)
        };
        (0..frequencies).map(weight).collect()
    };
    (0..bins).map(weights).collect()
}
