//! Device configurations of a model and the sharding of its nodes (IR 11).

/// A set of devices that a model may be spread over.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeviceConfigurationProto {
    /// The name that nodes refer to.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The number of devices.
    #[prost(int32, optional, tag = "2")]
    pub num_devices: Option<i32>,
    /// Names of the devices: none, or `num_devices` of them.
    #[prost(string, repeated, tag = "3")]
    pub device: Vec<String>,
}

/// How one node runs in one configuration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeDeviceConfigurationProto {
    /// The name of a [`DeviceConfigurationProto`] of the model.
    #[prost(string, optional, tag = "1")]
    pub configuration_id: Option<String>,
    /// How operands and results are sharded.
    #[prost(message, repeated, tag = "2")]
    pub sharding_spec: Vec<ShardingSpecProto>,
    /// The pipeline stage of the node.
    #[prost(int32, optional, tag = "3")]
    pub pipeline_stage: Option<i32>,
}

/// How one operand or result of a node is sharded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardingSpecProto {
    /// The operand or result by value name.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// The devices or device groups that hold it.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub device: Vec<i64>,
    /// The devices of each group, for those entries of `device` that are groups.
    #[prost(message, repeated, tag = "3")]
    pub index_to_device_group_map: Vec<IntIntListEntryProto>,
    /// The sharding of each axis.
    #[prost(message, repeated, tag = "4")]
    pub sharded_dim: Vec<ShardedDimProto>,
}

/// An integer and a list of integers, the entry of a map.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntIntListEntryProto {
    /// The key.
    #[prost(int64, optional, tag = "1")]
    pub key: Option<i64>,
    /// The values.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// How one axis is sharded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardedDimProto {
    /// The axis, in `-rank..rank`.
    #[prost(int64, optional, tag = "1")]
    pub axis: Option<i64>,
    /// Usually one entry; several if a reshape has fused axes.
    #[prost(message, repeated, tag = "2")]
    pub simple_sharding: Vec<SimpleShardedDimProto>,
}

/// A dimension divided into a number of shards.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SimpleShardedDimProto {
    /// The dimension; absent if unknown.
    #[prost(oneof = "ShardedDim", tags = "1, 2")]
    pub dim: Option<ShardedDim>,
    /// The number of shards.
    #[prost(int64, optional, tag = "3")]
    pub num_shards: Option<i64>,
}

/// The dimension that a [`SimpleShardedDimProto`] divides.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ShardedDim {
    /// `dim_value`: a number.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// `dim_param`: a symbol.
    #[prost(string, tag = "2")]
    Param(String),
}
