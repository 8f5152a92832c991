#include "textflag.h"

DATA folds<>+0(SB)/8, $0x2020202020202020
DATA folds<>+8(SB)/8, $0x2020202020202020
DATA folds<>+16(SB)/8, $0x2020202020202020
DATA folds<>+24(SB)/8, $0x2020202020202020
GLOBL folds<>(SB), RODATA|NOPTR, $32

// A byte in every lane of a YMM register.
#define SPREAD(c, reg) \
	MOVQ $c, AX; \
	VMOVQ AX, X0; \
	VPBROADCASTB X0, reg

// A bit for every byte of two compared YMM registers, stored at an offset of DI.
#define STORE(lo, hi, at) \
	VPMOVMSKB lo, AX; \
	VPMOVMSKB hi, BX; \
	SHLQ $32, BX; \
	ORQ BX, AX; \
	MOVQ AX, at(DI)

// func masksAVX2(m *masks, p *byte, at, words int, mark markSearch)
TEXT ·masksAVX2(SB), NOSPLIT, $0-48
	MOVQ m+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ words+24(FP), CX
	MOVQ at+16(FP), AX
	SHLQ $3, AX
	ADDQ AX, DI
	MOVQ mark_distance+32(FP), DX
	SPREAD(0x3c, Y15) // <
	SPREAD(0x3e, Y14) // >
	SPREAD(0x22, Y13) // "
	SPREAD(0x3d, Y11) // =
	MOVBLZX mark_first+40(FP), AX
	VMOVQ AX, X0
	VPBROADCASTB X0, Y10
	MOVBLZX mark_last+41(FP), AX
	VMOVQ AX, X0
	VPBROADCASTB X0, Y9
	VMOVDQU folds<>(SB), Y8
	ADDQ SI, DX

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPCMPEQB Y15, Y0, Y2
	VPCMPEQB Y15, Y1, Y3
	VPCMPEQB Y14, Y0, Y4
	VPCMPEQB Y14, Y1, Y5
	VPOR Y4, Y2, Y2
	VPOR Y5, Y3, Y3
	VPCMPEQB Y13, Y0, Y4
	VPCMPEQB Y13, Y1, Y5
	VPOR Y4, Y2, Y2
	VPOR Y5, Y3, Y3
	VPCMPEQB Y11, Y0, Y4
	VPCMPEQB Y11, Y1, Y5
	VPOR Y4, Y2, Y2
	VPOR Y5, Y3, Y3
	STORE(Y2, Y3, 0)
	VPOR Y8, Y0, Y0
	VPOR Y8, Y1, Y1
	VPCMPEQB Y10, Y0, Y0
	VPCMPEQB Y10, Y1, Y1
	VPOR (DX), Y8, Y2
	VPOR 32(DX), Y8, Y3
	VPCMPEQB Y9, Y2, Y2
	VPCMPEQB Y9, Y3, Y3
	VPAND Y0, Y2, Y2
	VPAND Y1, Y3, Y3
	STORE(Y2, Y3, 520)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $8, DI
	DECQ CX
	JNZ loop
	VZEROUPPER
	RET
