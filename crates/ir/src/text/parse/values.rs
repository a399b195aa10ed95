//! Parsing of types, attributes and tensors.

use super::{Around, MAX_DEPTH, Parsed, Parser};
use crate::attribute::Attribute;
use crate::tensor::{
    BlockFormat, Distribution, GgmlFormat, GgmlPart, Quantized, Rounding, SparseTensor, Tensor, Wave, widened,
};
use crate::{Dim, ElementType, Graph, MAX_BODY_DEPTH, Shape, TensorType, ValueType};
use bytes::Bytes;
use std::sync::Arc;

impl Parser<'_> {
    pub(super) fn value_type(&mut self, depth: u32) -> Parsed<ValueType> {
        if depth > MAX_DEPTH {
            return self.fail("the type nests too deeply");
        }
        if self.eat("?") {
            return Ok(ValueType::Unknown);
        }
        let word = self.take_while(char::is_alphanumeric);
        let nested = |parser: &mut Self| {
            parser.expect("(")?;
            let inner = parser.value_type(depth + 1)?;
            parser.expect(")")?;
            Ok(inner)
        };
        match word {
            "sequence" => Ok(ValueType::Sequence(Box::new(nested(self)?))),
            "optional" => Ok(ValueType::Optional(Box::new(nested(self)?))),
            "sparse" => match nested(self)? {
                ValueType::Tensor(tensor) => Ok(ValueType::SparseTensor(tensor)),
                other => self.fail(format!("{other} cannot be sparse")),
            },
            "map" => {
                self.expect("(")?;
                let key = self.element_type()?;
                self.expect(",")?;
                let inner = self.value_type(depth + 1)?;
                self.expect(")")?;
                Ok(ValueType::Map(key, Box::new(inner)))
            }
            word => {
                let element = word.parse().map_err(|error| self.error(format!("{error}")))?;
                self.expect("[")?;
                if self.eat("*") {
                    self.expect("]")?;
                    return Ok(TensorType { element, shape: None }.into());
                }
                let mut dims = vec![];
                while !self.eat("]") {
                    dims.push(self.dim()?);
                    if self.peek() != Some(']') {
                        self.expect(",")?;
                    }
                }
                Ok(TensorType::new(element, Shape::from_iter(dims)).into())
            }
        }
    }

    fn element_type(&mut self) -> Parsed<ElementType> {
        let word = self.take_while(char::is_alphanumeric);
        word.parse().map_err(|error| self.error(format!("{error}")))
    }

    /// Parses a dim: up to the comma or bracket outside its own parentheses and quotes.
    fn dim(&mut self) -> Parsed<Dim> {
        let rest = self.rest();
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        let end = rest.find(|c| {
            match (quoted, c) {
                _ if escaped => escaped = false,
                (true, '\\') => escaped = true,
                (_, '\'') => quoted = !quoted,
                (false, '(') => depth += 1,
                (false, ')') => depth = depth.saturating_sub(1),
                (false, ',' | ']') => return depth == 0,
                _ => {}
            }
            false
        });
        let Some(end) = end else { return self.fail("unclosed shape") };
        let dim = rest[..end].trim().parse().map_err(|error| self.error(format!("{error}")))?;
        self.at += end;
        Ok(dim)
    }

    pub(super) fn attributes(&mut self, around: &mut Around<'_>) -> Parsed<Vec<(Arc<str>, Attribute)>> {
        let mut attributes = vec![];
        if self.eat("{") {
            while !self.eat("}") {
                let key = self.word()?;
                self.expect("=")?;
                attributes.push((key.into(), self.attribute(around)?));
                if self.peek() != Some('}') {
                    self.expect(",")?;
                }
            }
        }
        Ok(attributes)
    }

    fn attribute(&mut self, around: &mut Around<'_>) -> Parsed<Attribute> {
        match self.peek() {
            Some('"') => return Ok(Attribute::Text(self.bytes()?)),
            Some('[') => return Ok(Attribute::Ints(self.list(Self::number)?)),
            _ => {}
        }
        if self.eat("floats") {
            return Ok(Attribute::Floats(self.list(Self::number)?));
        }
        if self.eat("texts") {
            return Ok(Attribute::Texts(self.list(Self::bytes)?));
        }
        if self.eat("tensor(") {
            let tensor = self.tensor(0)?;
            self.expect(")")?;
            return Ok(Attribute::Tensor(tensor));
        }
        if self.rest().starts_with("hex(") {
            return Ok(Attribute::Text(self.bytes()?));
        }
        if self.eat("tensors") {
            return Ok(Attribute::Tensors(self.list(|parser| parser.tensor(0))?));
        }
        if self.eat("sparses") {
            return Ok(Attribute::Sparses(self.list(|parser| parser.sparse(0))?));
        }
        if self.rest().starts_with("sparse(") {
            return Ok(Attribute::Sparse(self.sparse(0)?));
        }
        if self.eat("types") {
            return Ok(Attribute::Types(self.list(|parser| parser.value_type(0))?));
        }
        if self.eat("type(") {
            let ty = self.value_type(0)?;
            self.expect(")")?;
            return Ok(Attribute::Type(ty));
        }
        if self.eat("reference(") {
            let name = self.word()?.into();
            self.expect(",")?;
            let ty = self.number()?;
            self.expect(")")?;
            return Ok(Attribute::Reference { name, ty });
        }
        if self.rest().starts_with("graphs[") {
            self.expect("graphs[")?;
            let mut bodies = vec![];
            while !self.eat("]") {
                bodies.push(self.body(around)?);
                if self.peek() != Some(']') {
                    self.expect(",")?;
                }
            }
            return Ok(Attribute::Graphs(bodies));
        }
        if self.rest().starts_with("graph ") {
            self.expect("graph")?;
            return Ok(Attribute::Graph(self.body(around)?));
        }
        let word = self.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+'));
        if let Ok(element) = word.parse() {
            return Ok(Attribute::Element(element));
        }
        match word {
            "true" => Ok(Attribute::Bool(true)),
            "false" => Ok(Attribute::Bool(false)),
            _ => match (word.parse(), word.parse()) {
                (Ok(int), _) => Ok(Attribute::Int(int)),
                (_, Ok(float)) => Ok(Attribute::Float(float)),
                _ => self.fail(format!("`{word}` is not an attribute")),
            },
        }
    }

    fn body(&mut self, around: &mut Around<'_>) -> Parsed<Arc<Graph>> {
        if around.depth >= MAX_BODY_DEPTH {
            return self.fail(format!("bodies nest deeper than {MAX_BODY_DEPTH}"));
        }
        Ok(Arc::new(self.graph(Some(around))?))
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![];
        self.expect("[")?;
        while !self.eat("]") {
            items.push(item(self)?);
            if self.peek() != Some(']') {
                self.expect(",")?;
            }
        }
        Ok(items)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Parsed<T> {
        let word = self.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+'));
        word.parse().map_err(|_| self.error(format!("`{word}` is not a number of the expected type")))
    }

    /// Parses text in quotes, or bytes in hexadecimal.
    fn bytes(&mut self) -> Parsed<Bytes> {
        if self.eat("hex(") { Ok(self.hex()?.into()) } else { Ok(self.quoted()?.into_bytes().into()) }
    }

    /// Parses bytes in hexadecimal up to and including the closing parenthesis.
    fn hex(&mut self) -> Parsed<Vec<u8>> {
        let digits = self.take_while(|c| c.is_ascii_hexdigit());
        let pairs = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        let bytes = pairs.collect::<Option<Vec<_>>>();
        self.expect(")")?;
        bytes.ok_or_else(|| self.error("a byte has two hexadecimal digits"))
    }

    /// Parses a tensor with its type.
    fn tensor(&mut self, depth: u32) -> Parsed<Tensor> {
        if depth > MAX_DEPTH {
            return self.fail("the recipe nests too deeply");
        }
        match self.value_type(0)? {
            ValueType::Tensor(ty) => self.data(&ty, depth),
            other => self.fail(format!("a tensor cannot be {other}")),
        }
    }

    /// Parses a tensor stored by its nonzero elements.
    pub(super) fn sparse(&mut self, depth: u32) -> Parsed<SparseTensor> {
        self.expect("sparse(")?;
        let dims: Vec<u64> = self.list(Self::number)?;
        self.expect(",")?;
        let values = self.tensor(depth)?;
        self.expect(",")?;
        let indices = self.tensor(depth)?;
        self.expect(")")?;
        SparseTensor::new(values, indices, &dims).map_err(|error| self.error(error.to_string()))
    }

    /// Parses the elements of a tensor of this type.
    pub(super) fn data(&mut self, ty: &TensorType, depth: u32) -> Parsed<Tensor> {
        let Some(dims) = ty.shape.as_ref().and_then(Shape::known) else {
            return self.fail(format!("the shape of {ty} must consist of numbers"));
        };
        let element = ty.element;
        if self.eat("#") {
            return self.fail("the elements were elided; only a full text can be read");
        }
        let made = if self.eat("hex(") {
            let bytes = self.hex()?;
            Tensor::from_bytes(element, &dims, bytes)
        } else if self.eat("fill(") {
            let bytes = if self.eat("hex(") { self.hex()? } else { self.element(element)? };
            self.expect(")")?;
            Tensor::fill_with(element, bytes, &dims)
        } else if self.eat("uniform(") {
            self.expect("seed")?;
            self.expect("=")?;
            let seed = self.number()?;
            self.expect(",")?;
            self.expect("bound")?;
            self.expect("=")?;
            let bound = self.number()?;
            self.expect(")")?;
            Tensor::random(seed, Distribution::Uniform { bound }, &dims)
        } else if self.eat("sinusoidal(") {
            let wave = if self.eat("interleaved") {
                Wave::Interleaved
            } else if self.eat("grouped") {
                Wave::Grouped
            } else {
                self.expect("halves").map(|()| Wave::Halves)?
            };
            self.expect(")")?;
            let [positions, d_model] = dims[..] else { return self.fail("a sinusoidal table has two axes") };
            Tensor::sinusoidal(wave, positions, d_model)
        } else if self.eat("scale(") {
            let factor = self.number()?;
            self.expect(",")?;
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.scaled(factor)
        } else if self.eat("cast(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.cast(element)
        } else if self.eat("transpose(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.transposed()
        } else if self.eat("reshape(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.reshaped(&dims)
        } else if self.eat("concat(") {
            let mut tensors = vec![];
            while !self.eat(")") {
                tensors.push(self.tensor(depth + 1)?);
                if self.peek() != Some(')') {
                    self.expect(",")?;
                }
            }
            Tensor::concatenated(&tensors)
        } else if self.eat("reinterpret(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.reinterpreted(element, &dims)
        } else if self.eat("offset(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.offset()
        } else if self.eat("quantize(") {
            Ok(self.quantize(depth)?)
        } else if self.eat("dequantize(") {
            self.dequantize(depth)?.dequantized(element)
        } else if self.eat("unpack(") {
            let order = self.list(Self::number)?;
            self.expect(",")?;
            let plus = self.field("plus")?;
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            let Ok(order) = order.try_into() else { return self.fail("the order must be eight numbers") };
            of.unpacked(order, plus)
        } else if self.eat("tiles(") {
            let tile = [self.field("rows")?, self.field("columns")?];
            let of = self.tensor(depth + 1)?;
            self.expect(",")?;
            let scales = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.scaled_by_tiles(&scales, tile, element)
        } else if self.eat("low_rank(") {
            let scale = self.field("scale")?;
            let of = self.tensor(depth + 1)?;
            self.expect(",")?;
            let left = self.tensor(depth + 1)?;
            self.expect(",")?;
            let right = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.plus_low_rank(&left, &right, scale)
        } else if self.eat("ggml(") {
            let name = self.take_while(|c| c.is_alphanumeric() || c == '_');
            let format = GgmlFormat::ALL.into_iter().find(|format| format.name() == name);
            self.expect(",")?;
            let part = self.take_while(char::is_alphanumeric);
            self.expect(",")?;
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            let parts = [("codes", GgmlPart::Codes), ("scales", GgmlPart::Scales), ("floats", GgmlPart::Floats)];
            match (format, parts.into_iter().find(|(name, _)| *name == part)) {
                (Some(format), Some((_, part))) => of.ggml_part(format, part),
                _ => return self.fail(format!("`{name}` has no `{part}`; expected a format of ggml and a part of it")),
            }
        } else if self.eat("interleave(") {
            let (outer, inner) = (self.field("outer")?, self.field("inner")?);
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.with_rows_interleaved(outer, inner)
        } else if self.eat("rows(") {
            let first: u64 = self.field("first")?;
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            let Some(rows) = dims.first() else { return self.fail("`rows` needs an axis") };
            of.rows(first..first.saturating_add(*rows))
        } else if self.eat("finite(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.expecting_no_infinity()
        } else if self.eat("file(") {
            let path = self.quoted()?;
            self.expect(",")?;
            let offset = self.number()?;
            self.expect(",")?;
            let len = self.number()?;
            self.expect(")")?;
            let Some(files) = self.files else { return self.fail(format!("no folder is given for the file {path}")) };
            let range = files.open(&path).and_then(|source| source.range(offset, len));
            range.map_err(Into::into).and_then(|range| Tensor::from_file(element, &dims, range))
        } else if element == ElementType::String {
            let strings = self.list(Self::bytes)?;
            Tensor::from_strings(&dims, strings)
        } else {
            let whole = widened(element).unwrap_or(element);
            let bytes = if dims.is_empty() { self.element(whole)? } else { self.elements(whole)? };
            // Integers of 2 or 4 bits are read one in each byte.
            let packed = Tensor::from_bytes(whole, &dims, bytes.clone()).and_then(|all| all.cast(element)?.to_bytes());
            let tensor = packed.and_then(|packed| Tensor::from_bytes(element, &dims, packed));
            if let Ok(tensor) = &tensor
                && whole != element
                && tensor.cast(whole).and_then(|all| all.to_bytes()).is_ok_and(|all| *all != *bytes)
            {
                return self.fail(format!("a number does not fit in {element}"));
            }
            tensor
        };
        let tensor = made.map_err(|error| self.error(error.to_string()))?;
        if tensor.ty() == *ty { Ok(tensor) } else { self.fail(format!("the tensor is {}, not {ty}", tensor.ty())) }
    }

    /// Parses `name = number,`.
    fn field<T: std::str::FromStr>(&mut self, name: &str) -> Parsed<T> {
        self.expect(name)?;
        self.expect("=")?;
        let number = self.number()?;
        self.expect(",")?;
        Ok(number)
    }

    fn block_format(&mut self) -> Parsed<BlockFormat> {
        let (bits, size) = (self.field("bits")?, self.field("size")?);
        let symmetric = self.eat("symmetric");
        if !symmetric {
            self.expect("asymmetric")?;
        }
        self.expect(",")?;
        Ok(BlockFormat { bits, size, symmetric })
    }

    /// Parses a part of a tensor that is quantized while it is written.
    fn quantize(&mut self, depth: u32) -> Parsed<Tensor> {
        let part = self.take_while(char::is_alphanumeric);
        self.expect(",")?;
        let rounding =
            if self.eat("nearest") { Rounding::Nearest } else { self.expect("search").map(|()| Rounding::Search)? };
        self.expect(",")?;
        let format = self.block_format()?;
        let across = self.eat("across");
        if across {
            self.expect(",")?;
        }
        self.expect("scale")?;
        self.expect("=")?;
        let scale = self.element_type()?;
        self.expect(",")?;
        let of = self.tensor(depth + 1)?;
        self.expect(")")?;
        let of = if across { of.transposed() } else { Ok(of) };
        let quantized = of.and_then(|of| of.quantized(format, rounding, scale));
        let quantized = quantized.map_err(|error| self.error(error.to_string()))?;
        let part = match part {
            "codes" => Some(quantized.codes()),
            "scales" => Some(quantized.scales()),
            "zeros" => quantized.zeros(),
            _ => None,
        };
        match part {
            Some(part) if across => part.transposed().map_err(|error| self.error(error.to_string())),
            Some(part) => Ok(part.clone()),
            None => self.fail("expected `codes`, `scales`, or `zeros` of an asymmetric format"),
        }
    }

    /// Parses a tensor quantized in blocks.
    fn dequantize(&mut self, depth: u32) -> Parsed<Quantized> {
        let format = self.block_format()?;
        let codes = self.tensor(depth + 1)?;
        self.expect(",")?;
        let scales = self.tensor(depth + 1)?;
        let zeros = if self.eat(",") { Some(self.tensor(depth + 1)?) } else { None };
        self.expect(")")?;
        Quantized::from_parts(codes, scales, zeros, format).map_err(|error| self.error(error.to_string()))
    }

    fn elements(&mut self, element: ElementType) -> Parsed<Vec<u8>> {
        let mut bytes = vec![];
        self.expect("[")?;
        while !self.eat("]") {
            bytes.extend(self.element(element)?);
            if self.peek() != Some(']') {
                self.expect(",")?;
            }
        }
        Ok(bytes)
    }

    fn element(&mut self, element: ElementType) -> Parsed<Vec<u8>> {
        Ok(match element {
            ElementType::F32 => self.number::<f32>()?.to_le_bytes().to_vec(),
            ElementType::F64 => self.number::<f64>()?.to_le_bytes().to_vec(),
            ElementType::U8 => self.number::<u8>()?.to_le_bytes().to_vec(),
            ElementType::I8 => self.number::<i8>()?.to_le_bytes().to_vec(),
            ElementType::U16 => self.number::<u16>()?.to_le_bytes().to_vec(),
            ElementType::I16 => self.number::<i16>()?.to_le_bytes().to_vec(),
            ElementType::U32 => self.number::<u32>()?.to_le_bytes().to_vec(),
            ElementType::I32 => self.number::<i32>()?.to_le_bytes().to_vec(),
            ElementType::U64 => self.number::<u64>()?.to_le_bytes().to_vec(),
            ElementType::I64 => self.number::<i64>()?.to_le_bytes().to_vec(),
            ElementType::Bool => vec![self.number::<bool>()?.into()],
            other => return self.fail(format!("elements of {other} are written as hex(…)")),
        })
    }
}
