//! CLIP (Radford et al., 2021): a text encoder and an image encoder with a shared space of embeddings.

use super::encoder::{Layer, LayerNames, LayerSizes};
use super::vision::Patches;
use super::{Architecture, BATCH, Family, Head, Read, SEQ, heads};
use crate::layers::{Activation, Cache, Embedding, Linear, Norm, NormKind, Span};
use crate::{Builder, Init, Part, Settings, SettingsError, Task, Var, signed};
use netwright_ir::{ElementType, TensorType, shape};

/// CLIP, and each of its encoders on its own.
pub(super) const CLIP: Family = Family {
    name: "CLIP",
    model_types: &["clip", "clip_text_model", "clip_vision_model"],
    example: Some("openai/clip-vit-base-patch32"),
    architectures: &[
        ("CLIPModel", Task::ZeroShotImageClassification),
        ("CLIPTextModel", Task::FeatureExtraction),
        ("CLIPTextModelWithProjection", Task::FeatureExtraction),
        ("CLIPVisionModel", Task::FeatureExtraction),
        ("CLIPVisionModelWithProjection", Task::FeatureExtraction),
    ],
    read,
};

#[derive(Debug)]
struct Clip {
    text: Text,
    vision: Vision,
    text_projection: Linear,
    visual_projection: Linear,
}

/// The text encoder, with causal attention.
#[derive(Debug)]
struct Text {
    words: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    norm: Norm,
    /// The id of the token that ends a text; `None` if it is the largest id of the text.
    end: Option<u64>,
}

#[derive(Debug)]
struct Vision {
    patches: Patches,
    pre_norm: Norm,
    layers: Vec<Layer>,
    post_norm: Norm,
}

/// One of the encoders, with or without a projection.
#[derive(Debug)]
struct Alone<E> {
    encoder: E,
    projection: Option<Linear>,
}

const LAYER: LayerNames = LayerNames {
    attention: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"],
    norms: ["layer_norm1", "layer_norm2"],
    ffn: ["mlp.fc1", "mlp.fc2"],
};

/// A constant table of positions, which some checkpoints contain.
const LEAVES: &[&str] = &["embeddings.position_ids"];

fn read(settings: &Settings, head: &Head<'_>) -> Read {
    let projection = |name: &str, settings: &Settings| -> Result<Linear, SettingsError> {
        let outputs = settings.optional_size("projection_dim")?.unwrap_or(512);
        Ok(Linear::new(name, settings.size("hidden_size")?, outputs, false))
    };
    let alone = |name: &str| -> Result<Option<Linear>, SettingsError> {
        settings.ignore(&["projection_dim"]);
        head.architecture.ends_with("WithProjection").then(|| projection(name, settings)).transpose()
    };
    match settings.model_type() {
        "clip_text_model" => Ok(Box::new(Alone {
            encoder: text(settings, &head.base("text_model"))?,
            projection: alone("text_projection")?,
        })),
        "clip_vision_model" => Ok(Box::new(Alone {
            encoder: vision(settings, &head.base("vision_model"))?,
            projection: alone("visual_projection")?,
        })),
        _ => {
            if head.task != Task::ZeroShotImageClassification {
                return Err(
                    settings.wrong("model_type", "clip_text_model or clip_vision_model for features of one of both")
                );
            }
            let section = |name: &str, model_type: &str| -> Result<Settings, SettingsError> {
                // The options of `text_config_dict`, with defaults for absent ones, replace `text_config`.
                let replaced = settings.section(&format!("{name}_dict"))?;
                if replaced.is_some() {
                    settings.ignore(&[name]);
                }
                let found = replaced.map_or_else(|| settings.section(name), |section| Ok(Some(section)))?;
                let found = found.ok_or_else(|| settings.wrong(name, "an object of options"))?;
                Ok(found.with_defaults_of(model_type))
            };
            let texts = section("text_config", "clip_text_model")?;
            let images = section("vision_config", "clip_vision_model")?;
            let outputs = settings.optional_size("projection_dim")?.unwrap_or(512);
            for section in [&texts, &images] {
                section.ignore(&["projection_dim"]);
            }
            Ok(Box::new(Clip {
                text: text(&texts, "text_model.")?,
                vision: vision(&images, "vision_model.")?,
                text_projection: Linear::new("text_projection", texts.size("hidden_size")?, outputs, false),
                visual_projection: Linear::new("visual_projection", images.size("hidden_size")?, outputs, false),
            }))
        }
    }
}

fn text(settings: &Settings, base: &str) -> Result<Text, SettingsError> {
    let sizes = LayerSizes::read(settings, Activation::QuickGelu, 1e-5)?;
    let LayerSizes { d_model, epsilon, .. } = sizes;
    let table = |name: &str, rows| Embedding::new(format!("{base}embeddings.{name}"), rows, d_model, false);
    let end = settings.token("eos_token_id")?.unwrap_or(49_407);
    Ok(Text {
        words: table("token_embedding", settings.size("vocab_size")?),
        positions: table("position_embedding", settings.size("max_position_embeddings")?),
        layers: sizes.layers(&format!("{base}encoder.layers"), &LAYER),
        norm: Norm::new(format!("{base}final_layer_norm"), NormKind::LayerNorm, d_model, epsilon),
        // Old configurations have 2 here, whatever the tokenizer uses.
        end: (end != 2).then_some(end),
    })
}

fn vision(settings: &Settings, base: &str) -> Result<Vision, SettingsError> {
    let sizes = LayerSizes::read(settings, Activation::QuickGelu, 1e-5)?;
    let LayerSizes { d_model, epsilon, .. } = sizes;
    let norm = |name: &str| Norm::new(format!("{base}{name}"), NormKind::LayerNorm, d_model, epsilon);
    let mut patches = Patches::read(settings, d_model, false)?;
    patches.projection.name = format!("{base}embeddings.patch_embedding");
    patches.class = (format!("{base}embeddings.class_embedding"), vec![d_model]);
    patches.positions = (format!("{base}embeddings.position_embedding.weight"), vec![patches.positions(), d_model]);
    Ok(Vision {
        patches,
        // This misspelling is the name in the checkpoints.
        pre_norm: norm("pre_layrnorm"),
        layers: sizes.layers(&format!("{base}encoder.layers"), &LAYER),
        post_norm: norm("post_layernorm"),
    })
}

impl Text {
    /// Returns the states of all tokens, and the state that represents the text.
    #[track_caller]
    fn forward<'b>(&self, input_ids: Var<'b>, attention_mask: Option<Var<'b>>) -> [Var<'b>; 2] {
        let builder = input_ids.builder();
        let span = Span::new(input_ids, &Cache::none(builder));
        let x = self.words.forward(input_ids) + self.positions.forward(span.positions());
        let mask = Some(span.mask(attention_mask, None));
        let x = self.norm.forward(self.layers.iter().fold(x, |x, layer| layer.pre_norm(x, mask)));
        let last = match self.end {
            Some(end) => {
                let is_end = input_ids.equal(builder.index(signed(end)));
                is_end.cast(ElementType::I32).arg_max(1)
            }
            None => input_ids.cast(ElementType::I32).arg_max(1),
        };
        [x, x.pick(last)]
    }
}

impl Vision {
    /// Returns the states of all patches, and the state that represents the image.
    #[track_caller]
    fn forward<'b>(&self, builder: &'b Builder<'b>, batch: &str) -> [Var<'b>; 2] {
        let x = self.pre_norm.forward(self.patches.forward(builder, batch));
        let x = self.layers.iter().fold(x, |x, layer| layer.pre_norm(x, None));
        [x, self.post_norm.forward(heads::first_token(x))]
    }
}

fn texts(batch: &str) -> TensorType {
    TensorType::new(ElementType::I64, shape![batch, SEQ])
}

/// Normalizes a vector to length 1.
#[track_caller]
fn normalized(x: Var<'_>) -> Var<'_> {
    x / x.length()
}

impl Architecture for Clip {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let input_ids = builder.input("input_ids", texts("text_batch_size"));
        let [_, image] = self.vision.forward(builder, "image_batch_size");
        let attention_mask = builder.input("attention_mask", texts("text_batch_size"));
        let [_, text] = self.text.forward(input_ids, Some(attention_mask));
        let text = normalized(self.text_projection.forward(text));
        let image = normalized(self.visual_projection.forward(image));
        let per_text = text.matmul(image.transpose(&[1, 0])) * builder.parameter("logit_scale", &[], Init::Ones).exp();
        builder.output("logits_per_image", per_text.transpose(&[1, 0]));
        builder.output("logits_per_text", per_text);
        builder.output("text_embeds", text);
        builder.output("image_embeds", image);
    }

    fn leaves(&self) -> &'static [&'static str] {
        LEAVES
    }
}

/// Declares the outputs of an encoder on its own: its projected vector, if any, and its states.
#[track_caller]
fn declare_alone<'b>(builder: &'b Builder<'b>, embeds: &str, [states, one]: [Var<'b>; 2], projection: Option<&Linear>) {
    if let Some(projection) = projection {
        builder.output(embeds, projection.forward(one));
        builder.output("last_hidden_state", states);
    } else {
        builder.output("last_hidden_state", states);
        builder.output("pooler_output", one);
    }
}

impl Architecture for Alone<Text> {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let found = self.encoder.forward(builder.input("input_ids", texts(BATCH)), None);
        declare_alone(builder, "text_embeds", found, self.projection.as_ref());
    }

    fn leaves(&self) -> &'static [&'static str] {
        LEAVES
    }
}

impl Architecture for Alone<Vision> {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        declare_alone(builder, "image_embeds", self.encoder.forward(builder, BATCH), self.projection.as_ref());
    }

    fn leaves(&self) -> &'static [&'static str] {
        LEAVES
    }
}
