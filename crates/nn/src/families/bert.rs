//! Text encoders: BERT (Devlin et al., 2019) and its variants, which differ in names, positions and heads.

use super::encoder::{Layer, LayerNames, LayerSizes};
use super::{Architecture, Family, Head, Pooling, SEQ, heads, ids};
use crate::layers::{Activation, Embedding, Linear, Norm, NormKind, padding_mask};
use crate::{Builder, Init, Part, Settings, SettingsError, Task, Var, signed};

/// BERT, MiniLM, and sentence-transformers models based on them.
pub(super) const BERT: Family = Family {
    name: "BERT",
    model_types: &["bert"],
    architectures: &[
        ("BertModel", Task::FeatureExtraction),
        ("BertModel", Task::SentenceSimilarity),
        ("BertForMaskedLM", Task::FillMask),
        ("BertForPreTraining", Task::FillMask),
        ("BertForSequenceClassification", Task::TextClassification),
        ("BertForTokenClassification", Task::TokenClassification),
        ("BertForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        let names = Names {
            base: head.base("bert"),
            types: Types::Input,
            classifier: Some(("pooler.dense", Activation::Tanh)),
            mlm: [
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.decoder",
                "cls.predictions.bias",
            ],
        };
        bert(settings, head, names)
    },
};

/// RoBERTa and XLM-R: positions start after the padding id.
pub(super) const ROBERTA: Family = Family {
    name: "RoBERTa, XLM-R",
    model_types: &["roberta", "xlm-roberta", "camembert"],
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
        let names = Names {
            base: head.base("roberta"),
            types: Types::Zero { padding },
            classifier: None,
            mlm: ["lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"],
        };
        bert(settings, head, names)
    },
};

/// ELECTRA: embeddings with a width of their own.
pub(super) const ELECTRA: Family = Family {
    name: "ELECTRA",
    model_types: &["electra"],
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
        let names = Names {
            base: head.base("electra"),
            types: Types::Input,
            classifier: None,
            mlm: [
                "generator_predictions.dense",
                "generator_predictions.LayerNorm",
                "generator_lm_head",
                "generator_lm_head.bias",
            ],
        };
        bert(settings, head, names)
    },
};

/// DistilBERT: no token types, no pooler.
pub(super) const DISTILBERT: Family = Family {
    name: "DistilBERT",
    model_types: &["distilbert"],
    architectures: &[
        ("DistilBertModel", Task::FeatureExtraction),
        ("DistilBertModel", Task::SentenceSimilarity),
        ("DistilBertForMaskedLM", Task::FillMask),
        ("DistilBertForSequenceClassification", Task::TextClassification),
        ("DistilBertForTokenClassification", Task::TokenClassification),
        ("DistilBertForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| Ok(Box::new(distilbert(settings, head)?)),
};

const BERT_LAYER: LayerNames = LayerNames {
    attention: ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"],
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    ffn: ["intermediate.dense", "output.dense"],
};

const DISTILBERT_LAYER: LayerNames = LayerNames {
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    norms: ["sa_layer_norm", "output_layer_norm"],
    ffn: ["ffn.lin1", "ffn.lin2"],
};

/// Options that vary between BERT variants.
struct Names {
    base: String,
    types: Types,
    /// The layer before the classifier, if it is the pooler of the base model.
    classifier: Option<(&'static str, Activation)>,
    /// Dense layer, norm, decoder and bias of the masked-language-modeling head.
    mlm: [&'static str; 4],
}

/// The source of token types.
#[derive(Clone, Copy, Debug)]
enum Types {
    /// The input `token_type_ids`.
    Input,
    /// All are 0, and positions count tokens without padding, starting after the padding id.
    Zero { padding: u64 },
}

/// A text encoder with a head.
#[derive(Debug)]
struct TextEncoder {
    words: Embedding,
    positions: Embedding,
    types: Option<(Embedding, Types)>,
    norm: Norm,
    /// Projects from the width of the embeddings to the width of the model.
    project: Option<Linear>,
    layers: Vec<Layer>,
    output: Output,
}

#[derive(Debug)]
enum Output {
    States {
        pooler: Option<Linear>,
    },
    Sentence(Pooling),
    MaskedTokens {
        dense: Linear,
        activation: Activation,
        norm: Norm,
        decoder: Decoder,
    },
    /// The layer applied to the state of the first token.
    Class {
        dense: Linear,
        activation: Activation,
        classifier: Linear,
    },
    Tokens(Linear),
    Answer(Linear),
}

/// The masked-language-modeling head.
#[derive(Debug)]
enum Decoder {
    Tied { bias: String, vocab: u64 },
    Own(Linear),
}

fn bert(settings: &Settings, head: &Head<'_>, names: Names) -> Result<Box<dyn Architecture>, SettingsError> {
    settings.must_be("is_decoder", false)?;
    settings.must_be("add_cross_attention", false)?;
    settings.must_be("is_encoder_decoder", false)?;
    settings.must_be("position_embedding_type", "absolute")?;
    let sizes = LayerSizes::read(settings, Activation::Gelu, 1e-12)?;
    let LayerSizes { d_model, activation, epsilon, .. } = sizes;
    let width = settings.optional_size("embedding_size")?.unwrap_or(d_model);
    let vocab = settings.size("vocab_size")?;
    let tied = settings.flag("tie_word_embeddings", true)?;
    let Names { base, types, classifier, mlm } = names;
    let norm = |name: String, width| Norm::new(name, NormKind::LayerNorm, width, epsilon);
    let table = |name: &str, rows| Embedding::new(format!("{base}embeddings.{name}"), rows, width, false);
    let square = |name: String| Linear::new(name, d_model, d_model, true);
    let output = match head.task {
        Task::SentenceSimilarity => Output::Sentence(heads::pooling(settings, head)?),
        Task::FillMask => {
            let [dense, layer_norm, decoder, bias] = mlm;
            let decoder = if tied {
                Decoder::Tied { bias: bias.to_owned(), vocab }
            } else {
                Decoder::Own(Linear::new(decoder, width, vocab, true))
            };
            // RoBERTa and ELECTRA always use GELU here, whatever the activation of their layers.
            let activation = if classifier.is_some() { activation } else { Activation::Gelu };
            Output::MaskedTokens {
                dense: Linear::new(dense, d_model, width, true),
                activation,
                norm: norm(layer_norm.to_owned(), width),
                decoder,
            }
        }
        Task::TextClassification => {
            let labels = settings.labels()?;
            match classifier {
                Some((dense, activation)) => Output::Class {
                    dense: square(format!("{base}{dense}")),
                    activation,
                    classifier: Linear::new("classifier", d_model, labels, true),
                },
                None => Output::Class {
                    dense: square("classifier.dense".to_owned()),
                    activation: if matches!(types, Types::Input) { Activation::Gelu } else { Activation::Tanh },
                    classifier: Linear::new("classifier.out_proj", d_model, labels, true),
                },
            }
        }
        Task::TokenClassification => Output::Tokens(Linear::new("classifier", d_model, settings.labels()?, true)),
        Task::QuestionAnswering => Output::Answer(Linear::new("qa_outputs", d_model, 2, true)),
        _ => {
            let pooler = format!("{base}pooler.dense");
            Output::States { pooler: head.weights.has(&pooler).then(|| square(pooler)) }
        }
    };
    Ok(Box::new(TextEncoder {
        words: table("word_embeddings", vocab),
        positions: table("position_embeddings", settings.size("max_position_embeddings")?),
        types: Some((table("token_type_embeddings", settings.size("type_vocab_size")?), types)),
        norm: norm(format!("{base}embeddings.LayerNorm"), width),
        project: (width != d_model).then(|| Linear::new(format!("{base}embeddings_project"), width, d_model, true)),
        layers: sizes.layers(&format!("{base}encoder.layer"), &BERT_LAYER),
        output,
    }))
}

fn distilbert(settings: &Settings, head: &Head<'_>) -> Result<TextEncoder, SettingsError> {
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
    let vocab = settings.size("vocab_size")?;
    let tied = settings.flag("tie_word_embeddings", true)?;
    let norm = |name: String| Norm::new(name, NormKind::LayerNorm, d_model, sizes.epsilon);
    let table = |name: &str, rows| Embedding::new(format!("{base}embeddings.{name}"), rows, d_model, false);
    let linear = |name: &str, outputs| Linear::new(name, d_model, outputs, true);
    let output = match head.task {
        Task::SentenceSimilarity => Output::Sentence(heads::pooling(settings, head)?),
        Task::FillMask => Output::MaskedTokens {
            dense: linear("vocab_transform", d_model),
            activation,
            norm: norm("vocab_layer_norm".to_owned()),
            decoder: if tied {
                Decoder::Tied { bias: "vocab_projector.bias".to_owned(), vocab }
            } else {
                Decoder::Own(linear("vocab_projector", vocab))
            },
        },
        Task::TextClassification => Output::Class {
            dense: linear("pre_classifier", d_model),
            activation: Activation::Relu,
            classifier: linear("classifier", settings.labels()?),
        },
        Task::TokenClassification => Output::Tokens(linear("classifier", settings.labels()?)),
        Task::QuestionAnswering => Output::Answer(linear("qa_outputs", 2)),
        _ => Output::States { pooler: None },
    };
    Ok(TextEncoder {
        words: table("word_embeddings", vocab),
        positions: table("position_embeddings", settings.size("max_position_embeddings")?),
        types: None,
        norm: norm(format!("{base}embeddings.LayerNorm")),
        project: None,
        layers: sizes.layers(&format!("{base}transformer.layer"), &DISTILBERT_LAYER),
        output,
    })
}

impl Architecture for TextEncoder {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let input_ids = builder.input("input_ids", ids(SEQ));
        let attention_mask = builder.input("attention_mask", ids(SEQ));
        let mut x = self.words.forward(input_ids);
        if let Some((table, types)) = &self.types {
            let asks = matches!(types, Types::Input) && !matches!(self.output, Output::Sentence(_));
            let types = if asks { builder.input("token_type_ids", ids(SEQ)) } else { builder.index(0) };
            x = x + table.forward(types);
        }
        x = self.norm.forward(x + self.positions.forward(self.position_ids(input_ids)));
        x = self.project.iter().fold(x, |x, project| project.forward(x));
        let mask = Some(padding_mask(attention_mask));
        x = self.layers.iter().fold(x, |x, layer| layer.post_norm(x, mask));
        match &self.output {
            Output::States { pooler } => {
                builder.output("last_hidden_state", x);
                if let Some(pooler) = pooler {
                    builder.output("pooler_output", pooler.forward(heads::first_token(x)).tanh());
                }
            }
            Output::Sentence(pooling) => heads::sentence_embedding(builder, pooling, x, attention_mask),
            Output::MaskedTokens { dense, activation, norm, decoder } => {
                let x = norm.forward(activation.forward(dense.forward(x)));
                let logits = match decoder {
                    Decoder::Tied { bias, vocab } => {
                        self.words.scores(x) + builder.parameter(bias, &[*vocab], Init::Zeros)
                    }
                    Decoder::Own(layer) => layer.forward(x),
                };
                builder.output("logits", logits);
            }
            Output::Class { dense, activation, classifier } => {
                let first = activation.forward(dense.forward(heads::first_token(x)));
                builder.output("logits", classifier.forward(first));
            }
            Output::Tokens(classifier) => builder.output("logits", classifier.forward(x)),
            Output::Answer(layer) => heads::question_answering(builder, layer, x),
        }
    }

    fn leaves(&self) -> &'static [&'static str] {
        if matches!(self.output, Output::Sentence(_)) {
            &["embeddings.position_ids", "pooler."]
        } else {
            &["embeddings.position_ids"]
        }
    }

    fn copies(&self) -> &'static [&'static str] {
        match self.output {
            Output::Sentence(_) => &[],
            _ => {
                &["cls.predictions.decoder.", "lm_head.decoder.", "generator_lm_head.weight", "vocab_projector.weight"]
            }
        }
    }
}

impl TextEncoder {
    /// Returns the positions of tokens, `[seq]` or `[batch, seq]`.
    #[track_caller]
    fn position_ids<'b>(&self, input_ids: Var<'b>) -> Var<'b> {
        match self.types {
            Some((_, Types::Zero { padding })) => {
                let padding = input_ids.builder.index(signed(padding));
                super::positions_of_tokens(input_ids, padding, None).0
            }
            _ => input_ids.size(1).range(),
        }
    }
}
