// Simulation models of the two ECP5 cells that yosys has as black boxes, in the modes that galton's netlists use.
//
// DP16KD: Lattice FPGA-TN-02204, "ECP5 and ECP5-5G Memory Usage Guide". Two ports on 1024 words of 18 bits, each 1, 2, 4, 9 or 18
// bits wide, or port A writes and port B reads words of 36 bits. No output registers; contents from INITVAL_*.
// Words are linear in the address from its high end: bits 13..4 choose 18 bits, bit 3 a byte of 9 bits, bits 2..0 bits in its
// low 8. At 18 and 36 bits the low address bits enable the bytes of a write. Of a port with WRITEMODE "NORMAL" the output rests
// while it writes. What a port reads of a byte that the other changes at the same edge is undefined in silicon, inverted here.
//
// MULT18X18D: Lattice FPGA-TN-02205, "ECP5 and ECP5-5G sysDSP Usage Guide". Without registers: P = A * B, each signed or not.

// verilator lint_off MULTIDRIVEN
module DP16KD(
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
  parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", GSR = "ENABLED";
  parameter [319:0] INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0;
  parameter [319:0] INITVAL_04 = 0, INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0;
  parameter [319:0] INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0;
  parameter [319:0] INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0;
  parameter [319:0] INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0;
  parameter [319:0] INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0;
  parameter [319:0] INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0;
  parameter [319:0] INITVAL_1C = 0, INITVAL_1D = 0, INITVAL_1E = 0, INITVAL_1F = 0;
  parameter [319:0] INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0;
  parameter [319:0] INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0;
  parameter [319:0] INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0;
  parameter [319:0] INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0;
  parameter [319:0] INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0;
  parameter [319:0] INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0, INITVAL_37 = 0;
  parameter [319:0] INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0;
  parameter [319:0] INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0;

  // The modes above, and no others.
  localparam KNOWN = REGMODE_A == "NOREG" && REGMODE_B == "NOREG" && CSDECODE_A == "0b000"
    && CSDECODE_B == "0b000" && CLKAMUX == "CLKA" && CLKBMUX == "CLKB" && (DATA_WIDTH_B != 36 || DATA_WIDTH_A == 36);
  initial if (!KNOWN) begin
    $display("DP16KD: a mode without a model");
    $stop;
  end

  localparam [64 * 320 - 1:0] INITIAL = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
  };
  reg [8:0] bytes [0:2047];
  integer word;
  initial for (word = 0; word < 1024; word = word + 1) begin
    bytes[2 * word] = INITIAL[20 * word +: 9];
    bytes[2 * word + 1] = INITIAL[20 * word + 9 +: 9];
  end

  wire [17:0] di_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
    DIA1, DIA0};
  wire [13:0] ad_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire chosen_a = CEA && {CSA2, CSA1, CSA0} == 0;
  wire [17:0] di_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
    DIB1, DIB0};
  wire [13:0] ad_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire chosen_b = CEB && {CSB2, CSB1, CSB0} == 0;
  reg [17:0] do_a = 0, do_b = 0;
  // A read of 36 bits takes both outputs, a narrower one from 36-bit words the second.
  reg [17:0] low = 0;
  localparam WIDE = DATA_WIDTH_A == 36;
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} =
    WIDE ? low : do_a;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} =
    do_b;

  // The bytes that a port writes: up to four from `base`, with these bits.
  wire writes_a = chosen_a && WEA, writes_b = chosen_b && WEB && !WIDE;
  wire [10:0] base_a = WIDE ? {ad_a[13:5], 2'b00} : DATA_WIDTH_A == 18 ? {ad_a[13:4], 1'b0} : ad_a[13:3];
  wire [10:0] base_b = DATA_WIDTH_B == 36 ? {ad_b[13:5], 2'b00} : DATA_WIDTH_B == 18 ? {ad_b[13:4], 1'b0} : ad_b[13:3];

  function [8:0] mask(input integer width, input [2:0] place);
    case (width)
      1: mask = 9'h001 << place;
      2: mask = 9'h003 << {place[2:1], 1'b0};
      4: mask = 9'h00f << {place[2], 2'b00};
      default: mask = 9'h1ff;
    endcase
  endfunction
  function [8:0] spread(input integer width, input [8:0] data);
    case (width)
      1: spread = {9{data[0]}};
      2: spread = {data[0], {4{data[1:0]}}};
      4: spread = {data[0], {2{data[3:0]}}};
      default: spread = data;
    endcase
  endfunction
  function [17:0] narrowed(input integer width, input [17:0] data, input [2:0] place);
    case (width)
      1: narrowed = data[8:0] >> place & 1;
      2: narrowed = data[8:0] >> {place[2:1], 1'b0} & 3;
      4: narrowed = data[8:0] >> {place[2], 2'b00} & 15;
      9: narrowed = data[8:0];
      default: narrowed = data;
    endcase
  endfunction

  wire [8:0] mask_a = mask(DATA_WIDTH_A, ad_a[2:0]), mask_b = mask(DATA_WIDTH_B, ad_b[2:0]);
  wire [35:0] data_a = DATA_WIDTH_A < 18 ? spread(DATA_WIDTH_A, di_a[8:0]) : {di_b, di_a};
  wire [17:0] data_b = DATA_WIDTH_B < 18 ? spread(DATA_WIDTH_B, di_b[8:0]) : di_b;
  wire [3:0] enable_a = !writes_a ? 4'b0 : WIDE ? ad_a[3:0] : DATA_WIDTH_A == 18 ? ad_a[1:0] : 4'b1;
  wire [1:0] enable_b = !writes_b ? 2'b0 : DATA_WIDTH_B == 18 ? ad_b[1:0] : 2'b1;

  function [8:0] after_a(input [10:0] at);
    reg [10:0] offset;
    begin
      offset = at - base_a;
      after_a = bytes[at];
      if (offset < 4 && enable_a[offset[1:0]])
        after_a = (bytes[at] & ~mask_a) | (data_a[9 * offset[1:0] +: 9] & mask_a);
    end
  endfunction
  function [8:0] after_b(input [10:0] at);
    reg [10:0] offset;
    begin
      offset = at - base_b;
      after_b = bytes[at];
      if (offset < 2 && enable_b[offset[0]])
        after_b = (bytes[at] & ~mask_b) | (data_b[9 * offset[0] +: 9] & mask_b);
    end
  endfunction
  // What a port sees of a byte: its own write only where WRITETHROUGH; of the other's, nonsense.
  function [8:0] seen_a(input [10:0] at);
    seen_a = after_b(at) != bytes[at] ? ~bytes[at] : WRITEMODE_A == "WRITETHROUGH" ? after_a(at) : bytes[at];
  endfunction
  function [8:0] seen_b(input [10:0] at);
    seen_b = after_a(at) != bytes[at] ? ~bytes[at] : WRITEMODE_B == "WRITETHROUGH" ? after_b(at) : bytes[at];
  endfunction

  wire at_once_a = RESETMODE == "ASYNC" && RSTA, at_once_b = RESETMODE == "ASYNC" && RSTB;
  always @(posedge CLKA or posedge at_once_a) begin
    if (RSTA) do_a <= 0;
    else if (chosen_a && !WIDE && !(writes_a && WRITEMODE_A == "NORMAL"))
      do_a <= narrowed(DATA_WIDTH_A, {seen_a(base_a + 1), seen_a(base_a)}, ad_a[2:0]);
  end
  always @(posedge CLKB or posedge at_once_b) begin
    if (RSTB) {low, do_b} <= 0;
    else if (chosen_b && !(writes_b && WRITEMODE_B == "NORMAL")) begin
      if (DATA_WIDTH_B == 36) begin
        low <= {seen_b(base_b + 1), seen_b(base_b)};
        do_b <= {seen_b(base_b + 3), seen_b(base_b + 2)};
      end else
        do_b <= narrowed(DATA_WIDTH_B, {seen_b(base_b + 1), seen_b(base_b)}, ad_b[2:0]);
    end
  end
  integer a, b;
  always @(posedge CLKA) for (a = 0; a < 4; a = a + 1) if (enable_a[a]) bytes[base_a + a] <= after_a(base_a + a);
  always @(posedge CLKB) for (b = 0; b < 2; b = b + 1) if (enable_b[b]) bytes[base_b + b] <= after_b(base_b + b);
endmodule
// verilator lint_on MULTIDRIVEN

module MULT18X18D(
  input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0, RST1, RST2, RST3,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12,
    P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_PIPELINE_CLK = "NONE", REG_OUTPUT_CLK = "NONE";
  initial if (REG_INPUTA_CLK != "NONE" || REG_INPUTB_CLK != "NONE" || REG_PIPELINE_CLK != "NONE" || REG_OUTPUT_CLK != "NONE")
    begin
    $display("MULT18X18D: a mode without a model");
    $stop;
  end
  wire signed [35:0] a = $signed({{18{SIGNEDA & A17}}, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2,
    A1, A0});
  wire signed [35:0] b = $signed({{18{SIGNEDB & B17}}, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2,
    B1, B0});
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13,
    P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = a * b;
endmodule
