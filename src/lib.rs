//! ringmill
