// Runs one Verilated LinkedCore and moves bytes to and from its serial pins, for a program at the other end of two pipes.
//
// Usage: core DIVIDER FLASH ADDRESS WAKING [VCD]. FLASH is a file, the content of the board's flash from ADDRESS on, which is erased
// elsewhere; WAKING are the cycles that it takes to wake up. A board without a flash (macro FLASH) takes no notice.
// A command on standard input: bytes, cycles (u32 each), then as many bytes to send. They are sent, then the clock runs until the
// board has been quiet for three byte times after a byte of its own, at most that many cycles.
// The reply on standard output: bytes (u32), total cycles so far (u64), then the bytes that the board sent.
//
// A cycle is one rising edge. Inputs change after an edge. All numbers are little end first.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "Vcore.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr int FRAME_BITS = 10;
constexpr uint32_t QUIET_BYTES = 3;

// What the host's adapter does: `line` is its output, `sample` its input.
class Sender {
  public:
    Sender(const std::vector<uint8_t>& bytes, uint32_t divider) : bytes(bytes), divider(divider) {}
    bool done() const { return place == bytes.size(); }
    int line() {
        if (done()) return 1;
        const uint32_t frame = 0x200u | bytes[place] << 1;
        const int level = frame >> bit & 1;
        if (++timer == divider) {
            timer = 0;
            if (++bit == FRAME_BITS) bit = 0, ++place;
        }
        return level;
    }

  private:
    const std::vector<uint8_t>& bytes;
    uint32_t divider, timer = 0, bit = 0;
    size_t place = 0;
};

class Sampler {
  public:
    explicit Sampler(uint32_t divider) : divider(divider) {}
    uint64_t quiet = 0;
    std::vector<uint8_t> bytes;
    void sample(int level) {
        ++quiet;
        if (!busy) {
            if (level) return;
            busy = true, bit = 0, timer = divider / 2, frame = 0;
        }
        quiet = 0;
        if (--timer) return;
        timer = divider;
        frame |= static_cast<uint32_t>(level) << bit;
        if (++bit < FRAME_BITS) return;
        busy = false;
        if (frame & 0x200u) bytes.push_back(frame >> 1 & 0xff);
    }

  private:
    uint32_t divider, timer = 0, bit = 0, frame = 0;
    bool busy = false;
};

#if FLASH
// A serial NOR flash, mode 0, asleep at first: 03h reads, ABh wakes it up.
class Flash {
  public:
    Flash(const char* path, uint32_t address, uint64_t waking) : address(address), waking(waking) {
        std::ifstream file(path, std::ios::binary);
        content.assign(std::istreambuf_iterator<char>(file), {});
    }
    int pins(uint64_t now, bool cs, bool clk, bool copi) {
        if (!cs) {
            if (bits >= 8 && command == 0xab && awake == NEVER) awake = now + waking;
            bits = 0;
        } else if (clk && !before) {
            if (bits < 8) command = command << 1 | copi;
            else if (bits < 32) place = place << 1 | copi;
            ++bits;
        } else if (!clk && before && bits >= 32 && command == 0x03 && now >= awake) {
            const uint32_t from = (place & 0xffffff) - address + (bits - 32) / 8;
            out = (from < content.size() ? content[from] : 0xff) >> (7 - bits % 8) & 1;
        }
        before = clk;
        return out;
    }

  private:
    static constexpr uint64_t NEVER = ~uint64_t(0);
    std::vector<uint8_t> content;
    uint32_t address, place = 0;
    uint64_t waking, awake = NEVER, bits = 0;
    uint8_t command = 0;
    bool before = false;
    int out = 1;
};
#endif

bool read(void* into, size_t size) { return std::fread(into, 1, size, stdin) == size; }

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) return 2;
    const uint32_t divider = std::strtoul(argv[1], nullptr, 10);
    std::unique_ptr<VerilatedContext> context(new VerilatedContext);
    std::unique_ptr<Vcore> top(new Vcore(context.get()));
#if VM_TRACE
    VerilatedVcdC trace;
    context->traceEverOn(true);
    top->trace(&trace, 99);
    if (argc > 5) trace.open(argv[5]);
#endif
#if FLASH
    Flash flash(argv[2], std::strtoul(argv[3], nullptr, 10), std::strtoul(argv[4], nullptr, 10));
#endif
    uint64_t cycles = 0;
    auto cycle = [&] {
        for (int level : {0, 1}) {
            top->clk = level;
            top->eval();
#if VM_TRACE
            if (argc > 5) trace.dump(cycles * 2 + level);
#endif
        }
        ++cycles;
#if FLASH
        top->flash___05Fcipo = flash.pins(cycles, top->flash___05Fcs, top->flash___05Fclk, top->flash___05Fcopi);
#endif
    };
    top->rst = 1, top->rx = 1;
    for (int i = 0; i < 4; ++i) cycle();
    top->rst = 0;

    Sampler sampler(divider);
    uint32_t command[2];
    while (read(command, sizeof command)) {
        std::vector<uint8_t> bytes(command[0]);
        if (!read(bytes.data(), bytes.size())) break;
        Sender sender(bytes, divider);
        auto step = [&] {
            top->rx = sender.line();
            cycle();
            sampler.sample(top->tx);
        };
        while (!sender.done()) step();
        const uint64_t end = cycles + command[1], quiet = QUIET_BYTES * FRAME_BITS * divider;
        while (cycles < end && (sampler.bytes.empty() || sampler.quiet < quiet)) step();
        const uint32_t count = sampler.bytes.size();
        std::fwrite(&count, sizeof count, 1, stdout);
        std::fwrite(&cycles, sizeof cycles, 1, stdout);
        std::fwrite(sampler.bytes.data(), 1, count, stdout);
        std::fflush(stdout);
        sampler.bytes.clear();
    }
    top->final();
    return 0;
}
