//! The part of a packet that programs access directly: the one place where packet memory becomes a pointer.

/// A packet with such a part.
pub(super) trait Direct: Copy {
    /// Where the part begins and ends. Read volatile from the context, because helpers move the packet, and because LLVM
    /// would else hand the two values to subprograms instead of the context, where the verifier takes them for plain
    /// numbers.
    fn bounds(self) -> (usize, usize);

    /// Headers start at even addresses, and the accesses are no wider: the verifier lets packets be read unaligned, but
    /// with LLVM's `allows-misaligned-mem-access` the stack would be as well, which it refuses ("misaligned stack
    /// access", check_stack_access in kernel/bpf/verifier.c).
    #[inline(always)]
    fn pointer<T>(self, offset: usize) -> Option<*mut T> {
        const { assert!(align_of::<T>() <= 2) };
        let (start, end) = self.bounds();
        let at = start + offset;
        (at + size_of::<T>() <= end).then_some(at as *mut T)
    }

    /// As `Bytes::read`.
    #[inline(always)]
    fn get<T: Copy>(self, offset: usize) -> Option<T> {
        // SAFETY: `pointer` checked the bounds; headers are not aligned for their types.
        self.pointer::<T>(offset)
            .map(|at| unsafe { at.read_unaligned() })
    }

    /// As `Bytes::write`.
    #[inline(always)]
    fn put<T: Copy>(self, offset: usize, value: T) -> Option<()> {
        // SAFETY: as above; frames are writable, and the kernel's prologue has made an skb so
        // (bpf_unclone_prologue in net/core/filter.c).
        self.pointer::<T>(offset)
            .map(|at| unsafe { at.write(value) })
    }
}
