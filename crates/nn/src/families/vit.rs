//! ViT (Dosovitskiy et al., 2021): an image encoder.

use super::encoder::{Layer, LayerNames, LayerSizes};
use super::vision::Patches;
use super::{Architecture, BATCH, Family, Head, heads};
use crate::layers::{Activation, Linear, Norm, NormKind};
use crate::{Builder, Part, Settings, SettingsError, Task};

/// ViT, and DeiT-like checkpoints with its model type.
pub(super) const VIT: Family = Family {
    name: "ViT",
    model_types: &["vit"],
    example: Some("google/vit-base-patch16-224"),
    architectures: &[("ViTForImageClassification", Task::ImageClassification), ("ViTModel", Task::FeatureExtraction)],
    read: |settings, head| Ok(Box::new(read(settings, head)?)),
};

#[derive(Debug)]
struct Vit {
    patches: Patches,
    layers: Vec<Layer>,
    norm: Norm,
    output: Output,
}

#[derive(Debug)]
enum Output {
    States { pooler: Option<(Linear, Activation)> },
    Class(Linear),
}

const LAYER: LayerNames = LayerNames {
    attention: [
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
        "attention.output.dense",
    ],
    norms: ["layernorm_before", "layernorm_after"],
    ffn: ["intermediate.dense", "output.dense"],
};

fn read(settings: &Settings, head: &Head<'_>) -> Result<Vit, SettingsError> {
    // An option of the masked-image-modeling head.
    settings.ignore(&["encoder_stride"]);
    let base = head.base("vit");
    let mut sizes = LayerSizes::read(settings, Activation::Gelu, 1e-12)?;
    sizes.qkv_bias = settings.flag("qkv_bias", true)?;
    let LayerSizes { d_model, epsilon, .. } = sizes;
    let mut patches = Patches::read(settings, d_model, true)?;
    patches.projection.name = format!("{base}embeddings.patch_embeddings.projection");
    patches.class = (format!("{base}embeddings.cls_token"), vec![1, 1, d_model]);
    patches.positions = (format!("{base}embeddings.position_embeddings"), vec![1, patches.positions(), d_model]);
    let pooled = settings.optional_size("pooler_output_size")?.unwrap_or(d_model);
    let pooler_activation = settings.activation("pooler_act", Activation::Tanh)?;
    let pooler = format!("{base}pooler.dense");
    let output = match head.task {
        Task::ImageClassification => Output::Class(Linear::new("classifier", d_model, settings.labels()?, true)),
        _ => Output::States {
            pooler: head.weights.has(&pooler).then(|| (Linear::new(pooler, d_model, pooled, true), pooler_activation)),
        },
    };
    Ok(Vit {
        patches,
        layers: sizes.layers(&format!("{base}encoder.layer"), &LAYER),
        norm: Norm::new(format!("{base}layernorm"), NormKind::LayerNorm, d_model, epsilon),
        output,
    })
}

impl Architecture for Vit {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let patches = self.patches.forward(builder, BATCH);
        let x = self.layers.iter().fold(patches, |x, layer| layer.pre_norm(x, None));
        let x = self.norm.forward(x);
        match &self.output {
            Output::States { pooler } => {
                builder.output("last_hidden_state", x);
                if let Some((pooler, activation)) = pooler {
                    builder.output("pooler_output", activation.forward(pooler.forward(heads::first_token(x))));
                }
            }
            Output::Class(classifier) => builder.output("logits", classifier.forward(heads::first_token(x))),
        }
    }

    fn leaves(&self) -> &'static [&'static str] {
        // Used only in training with masked patches.
        &["embeddings.mask_token"]
    }
}
