//! The codes of all errors.

use std::fmt;

/// Declares the codes, each with its title, name and number.
macro_rules! codes {
    ($(#[doc = $title:literal] $name:ident = $number:literal,)*) => {
        /// The code of a kind of error, printed as `NW0101`; the index of errors explains each.
        ///
        /// The first two of the four digits are the area: 1 files, 2 reading, 3 the checker, 4 building, 5 passes,
        /// 6 verification, 7 the command line, 8 writing, 9 surgery, 10 generation. A code keeps its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the title of the code, such as `A file does not exist`.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
                .trim_start()
            }
        }
    };
}

impl Code {
    /// Returns the number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Returns the code that has a number; `None` if no code has it.
    pub fn with_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NW{:04}", self.number())
    }
}

codes! {
    // Files
    /// A file does not exist
    FileMissing = 101,
    /// A path is not a regular file
    FileNotRegular = 102,
    /// External data is outside the model's folder
    FileOutside = 103,
    /// External data has several hard links
    FileLinked = 104,
    /// Shared weights are in another folder
    SharedElsewhere = 105,
    /// External data has no location
    LocationEmpty = 106,
    /// A file name contains a NUL character
    NameWithNul = 107,
    /// Data extends beyond the end of a file
    BeyondEnd = 108,
    /// A file is too large
    FileTooLarge = 109,
    /// A file is not text
    FileNotText = 110,
    /// The operating system refuses a file
    FileRefused = 111,
    // Reading models
    /// A model file is incomplete
    ModelIncomplete = 201,
    /// A file is not an ONNX model
    NotOnnx = 202,
    /// Subgraphs are nested too deeply
    TooDeep = 203,
    /// A model has an unknown field
    UnknownField = 204,
    /// The IR version is not supported
    IrVersion = 205,
    /// The opset is not supported
    ReadOpset = 206,
    /// A graph is not valid
    InvalidGraph = 207,
    /// A value is not valid
    InvalidValue = 208,
    /// A node is not valid
    InvalidNode = 209,
    /// A tensor is not valid
    InvalidTensor = 210,
    // The checker
    /// A graph is inconsistent
    Inconsistent = 301,
    /// A node depends on itself
    CyclicNode = 302,
    /// An operator is not defined on its operands
    Undefined = 303,
    /// A recorded type contradicts inference
    Contradiction = 304,
    /// Two outputs have one name
    SameOutput = 306,
    /// A graph captures a value
    Captures = 308,
    // Building
    /// A configuration is not valid JSON
    ConfigurationSyntax = 401,
    /// An option of the configuration is missing
    OptionMissing = 402,
    /// An option of the configuration has a wrong value
    OptionValue = 403,
    /// An option of the configuration is unknown
    OptionUnknown = 404,
    /// A model type is not supported
    ModelType = 405,
    /// A family does not support a task
    Task = 406,
    /// A model has no KV cache
    NoCache = 407,
    /// A file next to the configuration is not valid
    Companion = 408,
    /// A KV cache cannot have the requested form
    CacheForm = 409,
    /// A weight is missing
    WeightMissing = 411,
    /// A weight has another shape
    WeightShape = 412,
    /// A weight is not used
    WeightUnused = 413,
    /// Tied weights differ
    WeightsUntied = 414,
    /// A file of weights is not valid
    WeightFile = 415,
    /// A quantized weight cannot be read
    WeightPacked = 416,
    /// A tensor cannot be created
    TensorData = 417,
    /// A declaration is not valid
    Declaration = 420,
    // Passes and their options
    /// A pass gets an invalid graph
    PassGraph = 501,
    /// A pass does not exist
    PassUnknown = 502,
    /// A model has training steps
    Training = 503,
    /// A pass cannot be skipped
    PassRequired = 504,
    /// Two passes undo one another
    PassesOpposed = 505,
    /// The KV cache cannot be shared
    CacheUnshared = 506,
    /// The weights cannot be quantized
    Unquantized = 507,
    /// Models are not converted to a type
    Unconverted = 508,
    /// A pattern is not a regular expression
    Pattern = 509,
    /// A pattern matches no input or output
    PatternOfPort = 510,
    /// A pattern matches no node
    PatternOfNode = 511,
    /// A required rewrite is refuted
    Refuted = 512,
    /// A pass broke the graph
    PassBroken = 513,
    /// A pass does not end
    PassEndless = 514,
    /// A block size is not supported
    BlockSize = 515,
    /// No KV cache can be added
    CacheNotAdded = 516,
    // Running and verifying
    /// A model cannot be decoded
    Undecodable = 601,
    /// External data cannot be read
    DataUnreadable = 602,
    /// A model is not verifiable
    NotVerifiable = 603,
    /// A runtime failed
    RuntimeFailed = 604,
    /// A runtime panicked
    RuntimePanicked = 605,
    /// ONNX Runtime is not found
    OnnxRuntimeMissing = 606,
    /// A file is not the library of ONNX Runtime
    OnnxRuntimeLibrary = 607,
    /// A model has no such input
    InputUnknown = 608,
    /// An input is not given
    InputMissing = 609,
    /// An input has another type
    InputType = 610,
    /// An input cannot be generated
    InputNotGenerated = 611,
    /// Given inputs do not fit
    InputsMisfit = 612,
    /// The number of elements does not fit the shape
    ElementCount = 613,
    /// No input has a symbolic dim
    SymbolUnknown = 614,
    /// A symbol cannot have a size
    SymbolSize = 615,
    /// A worker process failed
    WorkerFailed = 616,
    /// No sizes fit the model
    SizesMisfit = 617,
    /// A worker process cannot serve
    WorkerRequest = 618,
    /// Two models have different inputs or outputs
    InterfaceDiffers = 621,
    /// Two models differ
    Differs = 622,
    /// A model fails
    ModelFails = 623,
    /// A variant is not written
    VariantLeftOut = 624,
    // The command line
    /// An argument is unknown
    ArgumentUnknown = 701,
    /// A flag has a wrong value
    ArgumentValue = 702,
    /// An argument is missing
    ArgumentMissing = 703,
    /// Two flags conflict
    FlagsConflict = 704,
    /// A flag requires another
    FlagRequires = 705,
    /// A flag is not for this case
    FlagNotFor = 706,
    /// A symbol is given twice
    GivenTwice = 707,
    /// An output cannot be written there
    OutputPlace = 708,
    /// An output would replace another file
    OutputReplaces = 709,
    /// A folder is not empty
    FolderOccupied = 710,
    /// It is not clear which file is the output
    OutputAmbiguous = 711,
    /// A path is not what the command reads
    PathKind = 712,
    /// A manifest is not valid
    Manifest = 713,
    /// A model has a newer opset
    OpsetOlder = 714,
    /// The output cannot be printed
    OutputUnprinted = 715,
    /// A code does not exist
    CodeUnknown = 716,
    // Writing models
    /// An opset cannot be written
    WriteOpset = 801,
    /// A fused operator has no ONNX form
    FusedForm = 802,
    /// An operator requires a newer opset
    OpsetTooOld = 803,
    /// An unknown operator cannot be converted
    OpaqueVersion = 804,
    /// An operator cannot be expressed at an opset
    NotExpressible = 805,
    /// A domain is not imported
    DomainMissing = 806,
    /// An output has no name
    OutputUnnamed = 807,
    /// Two inputs or outputs have one name
    PortTwice = 808,
    /// The type of an output is unknown
    OutputUntyped = 809,
    /// Device configurations are not valid
    Devices = 810,
    /// A graph to write has a cycle
    CyclicGraph = 811,
    /// A model does not fit in one file
    ModelTooLarge = 812,
    /// A model would replace the weights that it shares
    SharedReplaced = 813,
    /// A file name is not UTF-8
    NameNotUtf8 = 814,
    /// The elements of a tensor cannot be read
    ElementsUnreadable = 815,
    /// A size is too large
    SizeTooLarge = 816,
    // Surgery
    /// A name does not exist in the model
    NameUnknown = 901,
    /// A value is inside a body
    InBody = 902,
    /// A name is taken
    NameTaken = 903,
    /// A name is given twice
    NameTwice = 904,
    /// A model needs an output
    NoOutput = 905,
    /// The type of a value is unknown
    ValueUntyped = 906,
    /// An output depends on an input that is cut off
    CutOff = 907,
    /// A new input is not read
    InputNotRead = 908,
    /// A size contradicts the model
    SizeContradiction = 909,
    /// A size is defined by itself
    SizeCircular = 910,
    /// A size is negative
    SizeNegative = 911,
    /// A cut leaves nothing
    CutEmpty = 912,
    /// Models cannot be merged
    Unmerged = 913,
    /// A model cannot be converted to the opset of another
    MergeOpset = 914,
    /// A model has no branches that an input selects
    NoBranches = 915,
    /// A decoder and its form with a KV cache cannot be compared
    NoSteps = 916,
    // Generation
    /// A configuration of generation is not valid
    GenerationSyntax = 1001,
    /// An option of generation is not supported
    GenerationOption = 1002,
    /// A setting of generation is out of range
    SettingRange = 1003,
    /// A folder does not hold one model
    FolderAmbiguous = 1004,
    /// A model is of the wrong kind
    ModelKind = 1005,
    /// A text is empty
    TextEmpty = 1006,
    /// A text is too long
    TextTooLong = 1007,
    /// A token is not in the vocabulary
    TokenUnknown = 1008,
    /// A model computes a value that is not a number
    NotFinite = 1009,
    /// The settings exclude every token
    NoTokenLeft = 1010,
    /// A tokenizer cannot be used
    Tokenizer = 1011,
    /// A chat template cannot be used
    ChatTemplate = 1012,
    /// An audio file cannot be used
    Audio = 1013,
    /// Two models cannot be compared on a text
    NotComparable = 1014,
    /// A text has nothing to evaluate
    NothingToEvaluate = 1015,
    /// A model has no attention to show
    NoAttention = 1016,
}
