"""Words in names of classes. Upper and lower case matter, and a word may begin anywhere in a name.

`$` is the end of the name, without a final `1d`, `2d` or `3d`; `*` is any text.
"""

from decay_audit.roles.conventions.convention import Convention, class_vocabulary

NORM_CLASS = class_vocabulary(
    Convention(
        words=("Norm", "norm"),
        source="transformers.models.llama.modeling_llama.LlamaRMSNorm; transformers.models.autoformer",
        matches=("LlamaRMSNorm", "AutoformerLayernorm"),
        near_misses=("Nom",),
    ),
    Convention(
        words=("GRN$", "ABN$"),
        source="ConvNeXt V2 (Woo et al., 2023): GRN; inplace_abn.InPlaceABN",
        matches=("GRN", "InPlaceABN"),
        near_misses=("GRNet",),
    ),
    Convention(
        words=("GDN",),
        source="compressai.layers.gdn.GDN (generalized divisive normalization; Balle et al., 2016)",
        matches=("GDN", "GDN1"),
        near_misses=("GDelta",),
    ),
    exceptions=(
        Convention(
            words=("Norm*Linear", "Norm*MLP"),
            source="transformer_engine.pytorch.LayerNormLinear, LayerNormMLP; mmdet.models.layers.NormedLinear",
            matches=("LayerNormLinear", "LayerNormMLP", "NormedLinear"),
            near_misses=("LayerNorm",),
        ),
        Convention(
            words=("Norm*Quantizer", "Norm*Head", "Norm*Conv"),
            source="BEiT v2 (Peng et al., 2022): NormEMAVectorQuantizer; Baichuan 2: NormHead; NormConv2d",
            matches=("NormEMAVectorQuantizer", "NormHead", "NormConv2d"),
            near_misses=("HeadNorm",),
        ),
        Convention(
            words=("WeightNorm", "SpectralNorm", "WeightStandard"),
            source="weight normalization and spectral normalization, which normalize a matrix and no data",
            matches=("WeightNorm", "SpectralNorm", "WeightStandardizedNorm"),
            near_misses=("LayerNorm",),
        ),
    ),
)
AFFINE_CLASS = class_vocabulary(
    Convention(
        words=("Affine$",),
        source="timm.models.mlp_mixer.Affine; transformers.models.vits.modeling_vits.VitsElementwiseAffine",
        matches=("Affine", "VitsElementwiseAffine"),
        near_misses=("AffineCoupling",),
    ),
)
BLOCK_CLASS = class_vocabulary(
    Convention(
        words=("Block$",),
        source="NAFNet (Chen et al., 2022): NAFBlock",
        matches=("NAFBlock",),
        near_misses=("BlockNorm",),
    ),
)
"""Blocks in which `beta` and `gamma` are no bias and weight of a norm: each scales one residual branch."""

ACTIVATION_CLASS = class_vocabulary(
    Convention(
        words=("ReLU", "ELU"),
        source="timm.models.metaformer.StarReLU; transformers.activations.XIELUActivation",
        matches=("StarReLU", "XIELUActivation"),
        near_misses=("Relation",),
    ),
    Convention(
        words=("Snake",),
        source="transformers.models.dac.modeling_dac.Snake1d",
        matches=("Snake1d",),
        near_misses=("Sneak",),
    ),
    Convention(
        words=("Acon",),
        source="ACON (Ma et al., 2021): AconC",
        matches=("AconC",),
        near_misses=("Beacon",),
    ),
    Convention(
        words=("Tlu",),
        source="timm.layers.filter_response_norm.FilterResponseNormTlu2d",
        matches=("FilterResponseNormTlu2d",),
        near_misses=("FilterResponseNormAct2d",),
    ),
    Convention(
        words=("Swish", "Softplus"),
        source="SpookyNet (Unke et al., 2021): Swish, ShiftedSoftplus",
        matches=("Swish", "ShiftedSoftplus"),
        near_misses=("Swin",),
    ),
    Convention(
        words=("Sigmoid",),
        source="MP-SENet (Lu et al., 2023): LearnableSigmoid2d",
        matches=("LearnableSigmoid2d",),
        near_misses=("Sigma",),
    ),
    Convention(
        words=("Tanh",),
        source="DyT (Zhu et al., 2025): DynamicTanh",
        matches=("DynamicTanh",),
        near_misses=("Tangent",),
    ),
    exceptions=(
        Convention(
            words=("Gate", "Gating"),
            source="gates of attention and cross-attention: TanhGate, TanhGatedCrossAttention, SigmoidGating",
            matches=("TanhGate", "TanhGatedCrossAttention", "SigmoidGating"),
            near_misses=("Tanh",),
        ),
        Convention(
            words=("Sigmoid*Attention", "Tanh*Attention", "Sigmoid*Cell", "Tanh*Cell", "Sigmoid*Flow"),
            source="attention, recurrent cells and flows that are named after their activation",
            matches=("SigmoidAttention", "TanhAttention", "SigmoidCell", "TanhCell", "SigmoidFlow"),
            near_misses=("Sigmoid", "Tanh"),
        ),
    ),
)
LAYER_SCALE_CLASS = class_vocabulary(
    Convention(
        words=("LayerScale",),
        source="timm.layers.layer_scale.LayerScale",
        matches=("LayerScale", "LayerScale2d"),
        near_misses=("ScaleLayer",),
    ),
)
CONV_CLASS = class_vocabulary(
    Convention(
        words=("Conv1d", "Conv2d", "Conv3d", "Convolution"),
        source="torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d; MinkowskiEngine.MinkowskiConvolution",
        matches=("Conv1d", "Conv2d", "Conv3d", "MinkowskiConvolution"),
        near_misses=("Conv1D",),  # in transformers, a linear layer with its matrix transposed
    ),
)
LINEAR_CLASS = class_vocabulary(
    Convention(
        words=("Linear$", "Dense$"),
        source="transformer_engine.pytorch.Linear; fairscale.nn.model_parallel.layers.ColumnParallelLinear",
        matches=("ColumnParallelLinear", "Dense"),
        near_misses=("LinearEmbeddings", "DenseEmbedding"),
    ),
    Convention(
        words=("Conv$",),
        source="torch_geometric.nn.GCNConv; e3nn and escnn convolutions",
        matches=("GCNConv", "Conv2d"),
        near_misses=("ConvEmbedding",),
    ),
)
"""Classes whose weight is a matrix or a kernel, whatever their module is called."""

FOURIER_CLASS = class_vocabulary(
    Convention(
        words=("Fourier*Proj", "Fourier*Feature", "Fourier*Emb", "Fourier*Enc", "Fourier*Pos"),
        source="diffusers.models.embeddings.GaussianFourierProjection; Fourier features (Tancik et al., 2020)",
        matches=(
            "GaussianFourierProjection",
            "FourierFeatures",
            "FourierEmbedding",
            "FourierEncoding",
            "FourierPosition",
        ),
        near_misses=("FourierConv", "AdaptiveFourierLayer"),
    ),
)
"""Classes whose weight holds frequencies of positions or times."""

EMBEDDING_CLASS = class_vocabulary(
    Convention(
        words=("Embed",),
        source="rtdl_num_embeddings.LinearEmbeddings; megatron.core.tensor_parallel.VocabParallelEmbedding",
        matches=("LinearEmbeddings", "VocabParallelEmbedding"),
        near_misses=("Embark",),
    ),
    Convention(
        words=("Codebook", "Quantiz"),
        source="transformers.models.encodec.modeling_encodec.EncodecEuclideanCodebook; vector_quantize_pytorch",
        matches=("EncodecEuclideanCodebook", "VectorQuantize"),
        near_misses=("Quantile",),
    ),
)
