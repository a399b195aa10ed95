//! Text encoders: BERT (Devlin et al., 2019) and its variants, which differ in names, positions and heads.

use super::encoder::{Layer, LayerNames, LayerSizes};
use super::text::{ClassPooling, Decoder, Output, Text, TextEncoder, TextModel, Transform};
use super::{BATCH, Family, Head, Read, SEQ};
use crate::layers::{Activation, Cache, Embedding, Linear, Norm, NormKind, RelativeBias, Span, padding_mask};
use crate::{Settings, Task, Var, signed};
use netwright_ir::{ElementType, TensorType, shape};

/// BERT, MiniLM, and sentence-transformers models based on them.
pub(super) const BERT: Family = Family {
    name: "BERT",
    model_types: &["bert"],
    example: Some("google-bert/bert-base-uncased"),
    architectures: &[
        ("BertModel", Task::FeatureExtraction),
        ("BertModel", Task::SentenceSimilarity),
        ("BertForMaskedLM", Task::FillMask),
        ("BertForPreTraining", Task::FillMask),
        ("BertForSequenceClassification", Task::TextClassification),
        ("BertForTokenClassification", Task::TokenClassification),
        ("BertForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| read(settings, head, Kind::new("bert", head)),
};

/// RoBERTa and XLM-R: positions start after the padding id.
pub(super) const ROBERTA: Family = Family {
    name: "RoBERTa, XLM-R",
    model_types: &["roberta", "xlm-roberta", "camembert"],
    example: Some("FacebookAI/xlm-roberta-base"),
    architectures: &[
        ("RobertaModel", Task::FeatureExtraction),
        ("RobertaModel", Task::SentenceSimilarity),
        ("RobertaForMaskedLM", Task::FillMask),
        ("RobertaForSequenceClassification", Task::TextClassification),
        ("RobertaForTokenClassification", Task::TokenClassification),
        ("RobertaForQuestionAnswering", Task::QuestionAnswering),
        ("XLMRobertaModel", Task::FeatureExtraction),
        ("XLMRobertaModel", Task::SentenceSimilarity),
        ("XLMRobertaForMaskedLM", Task::FillMask),
        ("XLMRobertaForSequenceClassification", Task::TextClassification),
        ("XLMRobertaForTokenClassification", Task::TokenClassification),
        ("XLMRobertaForQuestionAnswering", Task::QuestionAnswering),
        ("CamembertModel", Task::FeatureExtraction),
        ("CamembertForMaskedLM", Task::FillMask),
        ("CamembertForSequenceClassification", Task::TextClassification),
        ("CamembertForTokenClassification", Task::TokenClassification),
        ("CamembertForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        let padding = settings.token("pad_token_id")?.unwrap_or(1);
        read(settings, head, Kind { types: Types::Zero, padding: Some(padding), ..Kind::roberta("roberta", head) })
    },
};

/// ELECTRA: embeddings with a width of their own.
pub(super) const ELECTRA: Family = Family {
    name: "ELECTRA",
    model_types: &["electra"],
    example: Some("google/electra-small-generator"),
    architectures: &[
        ("ElectraModel", Task::FeatureExtraction),
        ("ElectraForPreTraining", Task::FeatureExtraction),
        ("ElectraForMaskedLM", Task::FillMask),
        ("ElectraForSequenceClassification", Task::TextClassification),
        ("ElectraForTokenClassification", Task::TokenClassification),
        ("ElectraForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.ignore(&["summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout"]);
        let masked = [
            "generator_predictions.dense",
            "generator_predictions.LayerNorm",
            "generator_lm_head",
            "generator_lm_head.bias",
        ];
        let class = Class::Own(Some(Activation::Gelu));
        read(settings, head, Kind { masked, class, types: Types::Input, ..Kind::roberta("electra", head) })
    },
};

/// DistilBERT: no token types, no pooler.
pub(super) const DISTILBERT: Family = Family {
    name: "DistilBERT",
    model_types: &["distilbert"],
    example: Some("distilbert/distilbert-base-uncased"),
    architectures: &[
        ("DistilBertModel", Task::FeatureExtraction),
        ("DistilBertModel", Task::SentenceSimilarity),
        ("DistilBertForMaskedLM", Task::FillMask),
        ("DistilBertForSequenceClassification", Task::TextClassification),
        ("DistilBertForTokenClassification", Task::TokenClassification),
        ("DistilBertForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: distilbert,
};

/// MPNet: no token types, and biases by distance.
pub(super) const MPNET: Family = Family {
    name: "MPNet",
    model_types: &["mpnet"],
    example: Some("sentence-transformers/all-mpnet-base-v2"),
    architectures: &[
        ("MPNetModel", Task::FeatureExtraction),
        ("MPNetModel", Task::SentenceSimilarity),
        ("MPNetForMaskedLM", Task::FillMask),
        ("MPNetForSequenceClassification", Task::TextClassification),
        ("MPNetForTokenClassification", Task::TokenClassification),
        ("MPNetForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        // Positions start after 1, whatever the padding id is.
        let kind = Kind { types: Types::None, padding: Some(1), has_distances: true, ..Kind::roberta("mpnet", head) };
        read(settings, head, Kind { layer: &MPNET_LAYER, ..kind })
    },
};

/// ALBERT: all layers share their weights.
pub(super) const ALBERT: Family = Family {
    name: "ALBERT",
    model_types: &["albert"],
    example: Some("albert/albert-base-v2"),
    architectures: &[
        ("AlbertModel", Task::FeatureExtraction),
        ("AlbertModel", Task::SentenceSimilarity),
        ("AlbertForMaskedLM", Task::FillMask),
        ("AlbertForPreTraining", Task::FillMask),
        ("AlbertForSequenceClassification", Task::TextClassification),
        ("AlbertForTokenClassification", Task::TokenClassification),
        ("AlbertForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.ignore(&["net_structure_type", "gap_size", "num_memory_blocks", "down_scale_factor"]);
        let masked = ["predictions.dense", "predictions.LayerNorm", "predictions.decoder", "predictions.bias"];
        let kind = Kind { layer: &ALBERT_LAYER, masked, activation: Activation::GeluTanh, ..Kind::new("albert", head) };
        read(settings, head, Kind { pooler: "pooler", is_shared: true, ..kind })
    },
};

/// BigBird in full attention.
pub(super) const BIG_BIRD: Family = Family {
    name: "BigBird",
    model_types: &["big_bird"],
    example: None,
    architectures: &[
        ("BigBirdModel", Task::FeatureExtraction),
        ("BigBirdForMaskedLM", Task::FillMask),
        ("BigBirdForPreTraining", Task::FillMask),
        ("BigBirdForSequenceClassification", Task::TextClassification),
        ("BigBirdForTokenClassification", Task::TokenClassification),
    ],
    read: |settings, head| {
        if settings.word("attention_type")? != Some("original_full") {
            let law = "original_full, because block-sparse attention is not supported\n  help: set it in the file; up to \
                       (5 + 2 * num_random_blocks) * block_size tokens, both compute the same";
            return Err(settings.wrong("attention_type", law));
        }
        settings.ignore(&["block_size", "num_random_blocks"]);
        let activation = Activation::GeluTanh;
        read(settings, head, Kind { activation, class: Class::Own(None), pooler: "pooler", ..Kind::new("bert", head) })
    },
};

/// LayoutLM: places of words on a page.
pub(super) const LAYOUT_LM: Family = Family {
    name: "LayoutLM",
    model_types: &["layoutlm"],
    example: Some("microsoft/layoutlm-base-uncased"),
    architectures: &[
        ("LayoutLMModel", Task::FeatureExtraction),
        ("LayoutLMForMaskedLM", Task::FillMask),
        ("LayoutLMForSequenceClassification", Task::TextClassification),
        ("LayoutLMForTokenClassification", Task::TokenClassification),
        ("LayoutLMForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| read(settings, head, Kind { has_boxes: true, ..Kind::new("layoutlm", head) }),
};

const ALBERT_LAYER: LayerNames = LayerNames {
    attention: ["attention.query", "attention.key", "attention.value", "attention.dense"],
    norms: ["attention.LayerNorm", "full_layer_layer_norm"],
    ffn: ["ffn", "ffn_output"],
};

const BERT_LAYER: LayerNames = LayerNames {
    attention: ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"],
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    ffn: ["intermediate.dense", "output.dense"],
};

const MPNET_LAYER: LayerNames = LayerNames {
    attention: ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"],
    norms: ["attention.LayerNorm", "output.LayerNorm"],
    ffn: ["intermediate.dense", "output.dense"],
};

const DISTILBERT_LAYER: LayerNames = LayerNames {
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    norms: ["sa_layer_norm", "output_layer_norm"],
    ffn: ["ffn.lin1", "ffn.lin2"],
};

/// Options that vary between BERT variants.
struct Kind {
    /// The prefix of the names of weights.
    base: String,
    layer: &'static LayerNames,
    types: Types,
    /// If positions count tokens without padding, starting after the padding id: the id.
    padding: Option<u64>,
    /// Whether the distances between tokens bias the scores.
    has_distances: bool,
    /// The activation of the layers, if the configuration does not say.
    activation: Activation,
    /// Whether groups of layers share their weights.
    is_shared: bool,
    /// Whether tokens have boxes on a page.
    has_boxes: bool,
    /// The name of the layer on the state of the first token.
    pooler: &'static str,
    class: Class,
    /// Dense layer, norm, decoder and bias of the masked-language-modeling head.
    masked: [&'static str; 4],
    /// The activation of that head, if it is not that of the layers.
    masked_activation: Option<Activation>,
}

/// The source of token types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Types {
    /// The input `token_type_ids`.
    Input,
    /// All are 0.
    Zero,
    /// Tokens have no types.
    None,
}

/// The head of text classification.
#[derive(Clone, Copy, Debug)]
enum Class {
    /// The pooler of the base model, then a layer.
    Pooler,
    /// Two layers of its own, with the activation of the layers if there is none.
    Own(Option<Activation>),
}

impl Kind {
    fn new(base: &str, head: &Head<'_>) -> Self {
        Self {
            base: head.base(base),
            layer: &BERT_LAYER,
            types: Types::Input,
            padding: None,
            has_distances: false,
            activation: Activation::Gelu,
            is_shared: false,
            has_boxes: false,
            pooler: "pooler.dense",
            class: Class::Pooler,
            masked: [
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.decoder",
                "cls.predictions.bias",
            ],
            masked_activation: None,
        }
    }

    /// Returns the options of RoBERTa's heads, which always use the same activation, whatever that of the layers is.
    fn roberta(base: &str, head: &Head<'_>) -> Self {
        Self {
            class: Class::Own(Some(Activation::Tanh)),
            masked: ["lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"],
            masked_activation: Some(Activation::Gelu),
            ..Self::new(base, head)
        }
    }
}

/// BERT without a head.
#[derive(Debug)]
struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Option<Embedding>,
    reads_types: bool,
    /// See [`Kind::padding`].
    padding: Option<u64>,
    norm: Norm,
    /// Projects from the width of the embeddings to the width of the model.
    project: Option<Linear>,
    /// The distances between tokens, which bias the scores of all layers.
    distances: Option<RelativeBias>,
    /// Tables of left and right, upper and lower edges, heights and widths of boxes.
    boxes: Option<[Embedding; 4]>,
    layers: Vec<Layer>,
}

fn read(settings: &Settings, head: &Head<'_>, kind: Kind) -> Read {
    settings.must_be("is_decoder", false)?;
    settings.must_be("add_cross_attention", false)?;
    settings.must_be("is_encoder_decoder", false)?;
    settings.must_be("position_embedding_type", "absolute")?;
    let sizes = LayerSizes::read(settings, kind.activation, 1e-12)?;
    let LayerSizes { d_model, activation, epsilon, .. } = sizes;
    let width = settings.optional_size("embedding_size")?.unwrap_or(d_model);
    let vocab = settings.size("vocab_size")?;
    let Kind { base, layer, types, padding, has_distances, class, masked, masked_activation, .. } = kind;
    let pooler = format!("{base}{}", kind.pooler);
    let norm = |name: String, width| Norm::new(name, NormKind::LayerNorm, width, epsilon);
    let table = |name: &str, rows| Embedding::new(format!("{base}embeddings.{name}"), rows, width, false);
    let square = |name: String| Linear::new(name, d_model, d_model, true);
    let [dense, layer_norm, decoder, bias] = masked;
    let masked = Output::MaskedTokens {
        transform: Some(Transform {
            dense: Linear::new(dense, d_model, width, true),
            activation: masked_activation.unwrap_or(activation),
            norm: Some(norm(layer_norm.to_owned(), width)),
        }),
        decoder: Decoder::read(settings, [decoder, bias], width)?,
    };
    let class = |labels| match class {
        Class::Pooler => Output::Class {
            pooling: ClassPooling::First,
            transform: Transform { dense: square(pooler.clone()), activation: Activation::Tanh, norm: None },
            classifier: Linear::new("classifier", d_model, labels, true),
        },
        Class::Own(own) => Output::Class {
            pooling: ClassPooling::First,
            transform: Transform {
                dense: square("classifier.dense".to_owned()),
                activation: own.unwrap_or(activation),
                norm: None,
            },
            classifier: Linear::new("classifier.out_proj", d_model, labels, true),
        },
    };
    let output = Output::read(settings, head, d_model, masked, class, Some(pooler.clone()))?;
    let rows = if types == Types::None { None } else { Some(settings.size("type_vocab_size")?) };
    let distances = if has_distances {
        let name = format!("{base}encoder.relative_attention_bias");
        // The published code always computes with 32.
        settings.must_be("relative_attention_num_buckets", 32)?;
        Some(RelativeBias { name, buckets: 32, max_distance: 128, heads: sizes.heads, bidirectional: true })
    } else {
        None
    };
    let (project, layers) = if kind.is_shared {
        let (groups, inner) = (settings.size("num_hidden_groups")?, settings.size("inner_group_num")?);
        let group =
            |at| format!("{base}encoder.albert_layer_groups.{}.albert_layers", at * groups / sizes.count.max(1));
        let layers = (0..sizes.count).flat_map(|at| sizes.of(inner).layers(&group(at), layer)).collect();
        (Some(format!("{base}encoder.embedding_hidden_mapping_in")), layers)
    } else {
        let name = format!("{base}embeddings_project");
        ((width != d_model).then_some(name), sizes.layers(&format!("{base}encoder.layer"), layer))
    };
    let boxes = if kind.has_boxes {
        let rows = settings.size("max_2d_position_embeddings")?;
        Some(["x", "y", "h", "w"].map(|axis| table(&format!("{axis}_position_embeddings"), rows)))
    } else {
        None
    };
    let words = Embedding::new(
        format!("{base}embeddings.word_embeddings"),
        vocab,
        width,
        settings.flag("rescale_embeddings", false)?,
    );
    let encoder = Bert {
        words,
        positions: table("position_embeddings", settings.size("max_position_embeddings")?),
        types: rows.map(|rows| table("token_type_embeddings", rows)),
        reads_types: types == Types::Input,
        padding,
        norm: norm(format!("{base}embeddings.LayerNorm"), width),
        project: project.map(|name| Linear::new(name, width, d_model, true)),
        distances,
        boxes,
        layers,
    };
    Ok(Box::new(TextModel { encoder, output }))
}

fn distilbert(settings: &Settings, head: &Head<'_>) -> Read {
    // The table is read alike, whether it was trained or is sinusoidal.
    settings.ignore(&["sinusoidal_pos_embds", "tie_weights_"]);
    let base = head.base("distilbert");
    let d_model = settings.size("dim")?;
    let activation = settings.activation("activation", Activation::Gelu)?;
    let sizes = LayerSizes {
        count: settings.layers("n_layers")?,
        d_model,
        heads: settings.heads("n_heads", d_model)?,
        d_ff: settings.size("hidden_dim")?,
        activation,
        epsilon: 1e-12,
        qkv_bias: true,
    };
    let norm = |name: String| Norm::new(name, NormKind::LayerNorm, d_model, sizes.epsilon);
    let table = |name: &str, rows| Embedding::new(format!("{base}embeddings.{name}"), rows, d_model, false);
    let linear = |name: &str, outputs| Linear::new(name, d_model, outputs, true);
    let masked = Output::MaskedTokens {
        transform: Some(Transform {
            dense: linear("vocab_transform", d_model),
            activation,
            norm: Some(norm("vocab_layer_norm".to_owned())),
        }),
        decoder: Decoder::read(settings, ["vocab_projector", "vocab_projector.bias"], d_model)?,
    };
    let class = |labels| Output::Class {
        pooling: ClassPooling::First,
        transform: Transform { dense: linear("pre_classifier", d_model), activation: Activation::Relu, norm: None },
        classifier: linear("classifier", labels),
    };
    let output = Output::read(settings, head, d_model, masked, class, None)?;
    let encoder = Bert {
        words: table("word_embeddings", settings.size("vocab_size")?),
        positions: table("position_embeddings", settings.size("max_position_embeddings")?),
        types: None,
        reads_types: false,
        padding: None,
        norm: norm(format!("{base}embeddings.LayerNorm")),
        project: None,
        distances: None,
        boxes: None,
        layers: sizes.layers(&format!("{base}transformer.layer"), &DISTILBERT_LAYER),
    };
    Ok(Box::new(TextModel { encoder, output }))
}

impl TextEncoder for Bert {
    fn encode<'b>(&self, text: &Text<'b>) -> Var<'b> {
        let mut x = self.words.forward(text.input_ids);
        if let Some(table) = &self.types {
            x = x + table.forward(text.types.unwrap_or_else(|| x.builder().index(0)));
        }
        if let Some([across, down, height, width]) = &self.boxes {
            let ty = TensorType::new(ElementType::I64, shape![BATCH, SEQ, 4]);
            let [left, upper, right, lower] = x.builder().input("bbox", ty).split(-1, [1, 1, 1, 1]);
            let [left, upper, right, lower] = [left, upper, right, lower].map(|edge| edge.squeeze(&[-1]));
            x = x + across.forward(left) + down.forward(upper) + across.forward(right) + down.forward(lower);
            x = x + height.forward(lower - upper) + width.forward(right - left);
        }
        x = self.norm.forward(x + self.positions.forward(self.position_ids(text.input_ids)));
        x = self.project.iter().fold(x, |x, project| project.forward(x));
        let mut mask = padding_mask(text.attention_mask);
        if let Some(distances) = &self.distances {
            mask = mask + distances.forward(Span::new(text.input_ids, &Cache::none(x.builder())));
        }
        self.layers.iter().fold(x, |x, layer| layer.post_norm(x, Some(mask)))
    }

    fn words(&self) -> &Embedding {
        &self.words
    }

    fn reads_types(&self) -> bool {
        self.reads_types
    }
}

impl Bert {
    /// Returns the positions of tokens, `[seq]` or `[batch, seq]`.
    #[track_caller]
    fn position_ids<'b>(&self, input_ids: Var<'b>) -> Var<'b> {
        match self.padding {
            Some(padding) => super::positions_of_tokens(input_ids, input_ids.builder().index(signed(padding)), None).0,
            None => input_ids.size(1).range(),
        }
    }
}
